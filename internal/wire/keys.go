package wire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
)

const hintKeys = "both sides need keys of the same cluster: copy client.pem (for people) or agent.pem (for nodes) anew from the folder of the cluster"

// Keys is what a process proves itself with: a certificate with its role, the secret key, and the
// authority of the cluster, which signed it. It is read-only once made.
type Keys struct {
	Role Role
	Name string
	pair tls.Certificate
	pool *x509.CertPool
}

// A folder of keys holds one PEM file per role, each complete in itself, so that access is given
// by copying one file; and the authority with its secret key, which stays with the controller.
const authorityFile = "authority.pem"

// issued are the roles that get keys at first start. An agent also serves, its engines and other
// agents; a client never does.
var issued = []struct {
	role   Role
	serves bool
}{
	{RoleServer, true},
	{RoleAgent, true},
	{RoleClient, false},
}

// keyYears is how long keys are valid: renewing them is a person's decision, not a surprise.
const keyYears = 20

// EnsureKeys makes an authority and keys for all roles in dir (0700, files 0600) if dir is not
// there; several processes may do so at once. name is the cluster's, for people. Kinds: Denied if
// dir is open to others, else the file system's.
func EnsureKeys(dir, name string) error {
	if _, err := os.Stat(filepath.Join(dir, authorityFile)); err == nil {
		return checkPrivate("read keys", dir, true)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return tutti.E("make keys", tutti.KindOf(err), err)
	}
	// Made aside and renamed, so that nobody sees half of it.
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".keys-")
	if err != nil {
		return tutti.E("make keys", tutti.KindOf(err), err)
	}
	defer os.RemoveAll(tmp)
	ca, err := newAuthority(name)
	if err != nil {
		return err
	}
	files := map[string][]byte{authorityFile: ca.bundle()}
	for _, i := range issued {
		if files[string(i.role)+".pem"], err = ca.issue(i.role, name, i.serves); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(tmp, name), content, 0o600); err != nil {
			return tutti.E("make keys", tutti.KindOf(err), err)
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, authorityFile)); there == nil {
			return checkPrivate("read keys", dir, true) // somebody was faster
		}
		return tutti.E("make keys", tutti.KindOf(err), err)
	}
	return nil
}

// LoadKeys reads the keys of a role from a folder that EnsureKeys made, or into which the file was
// copied. Kinds: NotFound, Corrupt, Denied (readable by others, or of another role), with a hint.
func LoadKeys(dir string, role Role) (*Keys, error) {
	k, err := ReadKeys(filepath.Join(dir, string(role)+".pem"))
	if err == nil && k.Role != role {
		return nil, tutti.Errorf("read keys", tutti.Denied, "%s holds a key of role %s", filepath.Join(dir, string(role)+".pem"), k.Role).WithHint(hintKeys)
	}
	return k, err
}

// ReadKeys reads one file of keys, whatever its role. Kinds as for [LoadKeys].
func ReadKeys(file string) (*Keys, error) {
	for _, p := range []string{filepath.Dir(file), file} {
		if err := checkPrivate("read keys", p, p != file); err != nil {
			return nil, err
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, tutti.E("read keys", tutti.KindOf(err), err)
	}
	k, err := parseKeys(content)
	if err != nil {
		return nil, tutti.Errorf("read keys", tutti.Corrupt, "%s: %w", file, err).WithHint(hintKeys)
	}
	return k, nil
}

// IssueKeys makes another key of a role, signed by the authority in dir: the content of a file to
// be given away.
func IssueKeys(dir string, role Role, name string) ([]byte, error) {
	file := filepath.Join(dir, authorityFile)
	if err := errors.Join(checkPrivate("issue keys", dir, true), checkPrivate("issue keys", file, false)); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, tutti.E("issue keys", tutti.KindOf(err), err)
	}
	ca, err := parseAuthority(content)
	if err != nil {
		return nil, tutti.Errorf("issue keys", tutti.Corrupt, "%s: %w", file, err)
	}
	for _, i := range issued {
		if i.role == role {
			return ca.issue(role, name, i.serves)
		}
	}
	return nil, tutti.Errorf("issue keys", tutti.Invalid, "there are no keys of role %q", role)
}

// checkPrivate refuses what others could read or put their own things into.
func checkPrivate(op, path string, folder bool) error {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return tutti.Errorf(op, tutti.NotFound, "%w", err)
	}
	if err != nil {
		return tutti.E(op, tutti.KindOf(err), err)
	}
	mode, what := "600", "file"
	if folder {
		mode, what = "700", "folder"
	}
	if st.Mode().Perm()&0o077 != 0 {
		return tutti.Errorf(op, tutti.Denied, "the %s %s is open to other users (mode %#o)", what, path, st.Mode().Perm()).
			WithHint("chmod %s %s", mode, path)
	}
	return nil
}

// ServerTLS is for a server that lets in peers of these roles.
func (k *Keys) ServerTLS(roles ...Role) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{k.pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: k.pool,
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
		VerifyConnection: proveRole(roles),
	}
}

// ClientTLS is for dialling a server of that role, whatever host it runs on.
func (k *Keys) ClientTLS(role Role) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{k.pair},
		RootCAs: k.pool, ServerName: hostOf(role),
		DynamicRecordSizingDisabled: true,
		VerifyConnection:            proveRole([]Role{role}),
	}
}

// proveRole makes the role in the peer's certificate, which has been verified, a condition.
func proveRole(roles []Role) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		if r := roleOf(cs.PeerCertificates[0]); !slices.Contains(roles, r) {
			return tutti.Errorf("connect", tutti.Denied, "the peer's key is of role %q, needed is %v", r, roles).WithHint(hintKeys)
		}
		return nil
	}
}

// hostOf is the name under which all servers of a role are known, since hosts come and go.
func hostOf(r Role) string { return string(r) + ".tutti.invalid" }

const roleScheme = "tutti-role"

// roleOf is the role in a certificate, "" if there is none.
func roleOf(cert *x509.Certificate) Role {
	for _, u := range cert.URIs {
		if u.Scheme == roleScheme {
			return Role(u.Opaque)
		}
	}
	return ""
}

// authority signs keys.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(cluster string) (*authority, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, tutti.E("make keys", tutti.Internal, err)
	}
	// The end of the name tells authorities of the same cluster's name apart.
	t := certificate("tutti "+cluster+" "+hex.EncodeToString(pub[:4]), x509.KeyUsageCertSign)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	der, err := x509.CreateCertificate(rand.Reader, t, t, pub, key)
	if err != nil {
		return nil, tutti.E("make keys", tutti.Internal, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, tutti.E("make keys", tutti.Internal, err)
	}
	return &authority{cert, key}, nil
}

// certificate is what all our certificates have in common. It begins a day ago, because clocks of
// machines differ.
func certificate(name string, use x509.KeyUsage) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // cannot fail
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, KeyUsage: use,
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(keyYears, 0, 0),
	}
}

func (a *authority) bundle() []byte {
	return append(pemBlock("CERTIFICATE", a.cert.Raw), pemKey(a.key)...)
}

// issue makes the file of keys for one holder.
func (a *authority) issue(role Role, name string, serves bool) ([]byte, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, tutti.E("make keys", tutti.Internal, err)
	}
	t := certificate(name, x509.KeyUsageDigitalSignature)
	t.URIs = []*url.URL{{Scheme: roleScheme, Opaque: string(role)}}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if serves {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		t.DNSNames = []string{hostOf(role)}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, pub, a.key)
	if err != nil {
		return nil, tutti.E("make keys", tutti.Internal, err)
	}
	return slices.Concat(pemBlock("CERTIFICATE", der), pemKey(key), pemBlock("CERTIFICATE", a.cert.Raw)), nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pemKey(key ed25519.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic("wire: a key that we made does not encode: " + err.Error())
	}
	return pemBlock("PRIVATE KEY", der)
}

// parseKeys reads certificate, key and authority, in that order.
func parseKeys(content []byte) (*Keys, error) {
	pair, err := tls.X509KeyPair(content, content)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	if len(pair.Certificate) < 2 {
		return nil, errors.New("the authority's certificate is missing")
	}
	ca, err := x509.ParseCertificate(pair.Certificate[len(pair.Certificate)-1])
	if err != nil {
		return nil, err
	}
	pair.Certificate = pair.Certificate[:1] // the other side has the authority's itself
	k := &Keys{Role: roleOf(pair.Leaf), Name: pair.Leaf.Subject.CommonName, pair: pair, pool: x509.NewCertPool()}
	if k.Role == "" {
		return nil, errors.New("the certificate names no role")
	}
	k.pool.AddCert(ca)
	return k, nil
}

func parseAuthority(content []byte) (*authority, error) {
	pair, err := tls.X509KeyPair(content, content)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	key, ok := pair.PrivateKey.(ed25519.PrivateKey)
	if !ok || !pair.Leaf.IsCA || !bytes.Equal(pair.Leaf.PublicKey.(ed25519.PublicKey), key.Public().(ed25519.PublicKey)) {
		return nil, errors.New("it holds no authority of ours")
	}
	return &authority{pair.Leaf, key}, nil
}
