package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"os"
	"sync"

	"github.com/tutti-hpc/tutti"
)

//go:embed data/*.csv data/*.txt
var samples embed.FS

// Dataset is what receptor modelling starts from: concentrations and their uncertainties, one
// row a sample and one column a species. It is immutable once read.
type Dataset struct {
	Title   string
	Unit    string
	Dates   []string // n, as written in the file
	Names   []string // m species
	V, U    []float64
	Dropped int    // lines that held no value at all
	Sum     string // SHA-256 of both files
}

// Samples is n, the number of rows.
func (d *Dataset) Samples() int { return len(d.Dates) }

// Species is m, the number of columns.
func (d *Dataset) Species() int { return len(d.Names) }

// Row returns sample i's concentrations and uncertainties, which must not be changed.
func (d *Dataset) Row(i int) (v, u []float64) {
	m := len(d.Names)
	return d.V[i*m : (i+1)*m], d.U[i*m : (i+1)*m]
}

// Rows numbers all samples in their order.
func (d *Dataset) Rows() []int {
	rows := make([]int, d.Samples())
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// Column copies species j's series.
func (d *Dataset) Column(j int) []float64 {
	x := make([]float64, d.Samples())
	for i := range x {
		x[i] = d.V[i*len(d.Names)+j]
	}
	return x
}

// SignalToNoise is the ratio of EPA PMF 5 for each species: the mean over all samples of
// (c-u)/u where the concentration exceeds its uncertainty, and of 0 where it does not.
func (d *Dataset) SignalToNoise() []float64 {
	sn := make([]float64, d.Species())
	for i := range d.Samples() {
		v, u := d.Row(i)
		for j := range v {
			if v[j] > u[j] {
				sn[j] += (v[j] - u[j]) / u[j]
			}
		}
	}
	for j := range sn {
		sn[j] /= float64(d.Samples())
	}
	return sn
}

// Source names a data set so that any process can read it: one of the embedded three, or a pair
// of files. Sum, if set, is what their bytes must hash to.
type Source struct {
	Name     string // br, sl, ba, or "" for files
	Con, Unc string // paths, if Name is ""
	Sum      string
}

// builtin describes the embedded data sets.
var builtin = []struct{ name, con, unc, title, unit string }{
	{"br", "Dataset-BatonRouge-con.csv", "Dataset-BatonRouge-unc.csv", "Baton Rouge, volatile organic compounds, 2005 to 2006", "ppbC"},
	{"sl", "Dataset-StLouis-con.csv", "Dataset-StLouis-unc.csv", "St. Louis, hourly fine particles, 2001 to 2002", "µg/m³"},
	{"ba", "Dataset-Baltimore_con.txt", "Dataset-Baltimore_unc.txt", "Baltimore, fine particles, 2000 to 2005", "µg/m³"},
}

// load reads the data set src names, or says with an error of kind Invalid or NotFound what is
// wrong with it.
func load(src Source) (*Dataset, error) {
	con, unc, err := src.read()
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	hash.Write(con)
	hash.Write(unc)
	sum := hex.EncodeToString(hash.Sum(nil))
	if src.Sum != "" && src.Sum != sum {
		return nil, tutti.Errorf("read "+src.Con, tutti.Invalid, "not the files this run began with").
			WithHint("every engine reads the files itself: they must lie at the same path everywhere and not change during a run")
	}
	d, err := parse(src.label(), con, unc)
	if err != nil {
		return nil, err
	}
	d.Sum = sum
	d.Title, d.Unit = src.Con, "units of the file"
	for _, b := range builtin {
		if b.name == src.Name {
			d.Title, d.Unit = b.title, b.unit
		}
	}
	return d, nil
}

// read returns the bytes of both files.
func (src Source) read() (con, unc []byte, err error) {
	open := os.ReadFile
	if src.Name != "" {
		found := false
		for _, b := range builtin {
			if b.name == src.Name {
				src.Con, src.Unc, found = "data/"+b.con, "data/"+b.unc, true
			}
		}
		if !found {
			return nil, nil, tutti.Errorf("find data set", tutti.NotFound, "no data set is called %q", src.Name).
				WithHint("there are br (Baton Rouge), sl (St. Louis) and ba (Baltimore); or give two paths, joined by a comma")
		}
		open = samples.ReadFile
	}
	if con, err = open(src.Con); err != nil {
		return nil, nil, tutti.E("read concentrations", tutti.KindOf(err), err)
	}
	if unc, err = open(src.Unc); err != nil {
		return nil, nil, tutti.E("read uncertainties", tutti.KindOf(err), err)
	}
	return con, unc, nil
}

// label is how messages call the two files.
func (src Source) label() [2]string {
	if src.Name != "" {
		return [2]string{src.Name + " concentrations", src.Name + " uncertainties"}
	}
	return [2]string{src.Con, src.Unc}
}

// datasets keeps what this process has read, so that a thousand replicates on one engine read
// and check a data set once.
var datasets sync.Map // Source: func() (*Dataset, error)

// cached is load, once for each source and process.
func cached(src Source) (*Dataset, error) {
	once, _ := datasets.LoadOrStore(src, sync.OnceValues(func() (*Dataset, error) { return load(src) }))
	return once.(func() (*Dataset, error))()
}
