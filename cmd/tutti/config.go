package main

import (
	"strings"

	"github.com/tutti-hpc/tutti/internal/dist"
)

type configVerb struct {
	Cflags bool `xor:"what" name:"cflags" help:"Flags for a C compiler."`
	Fflags bool `xor:"what" name:"fflags" help:"Flags for gfortran."`
	Libs   bool `name:"libs" help:"Flags for linking; may stand beside --cflags or --fflags."`
	Prefix bool `name:"prefix" help:"The folder of libraries, headers and the Fortran module."`
}

func (configVerb) Teach() string {
	return `
Prints what C and Fortran programs need to be built for tutti run. They may use mpi.h, module mpi
or mpif.h as with any MPI, or tutti.h. Built so, a program finds the libraries by itself.
The Fortran module is gfortran's; where its version differs, compile mpi.f90 of the same folder.

Examples:
  cc heat.c $(tutti config --cflags --libs) -o heat
  gfortran heat.f90 $(tutti config --fflags --libs) -o heat
  tutti config --prefix
  tutti run -n 4 ./heat
`
}

// Run prints what was asked for, or all of it.
func (c *configVerb) Run(v *invocation) error {
	dir, err := dist.Folder()
	if err != nil {
		return err
	}
	cflags := "-I" + quoted(dir)
	fflags := cflags + " -fallow-argument-mismatch"
	libs := "-L" + quoted(dir) + " -Wl,-rpath," + quoted(dir) + " -ltuttimpi -ltutti"
	var parts []string
	for _, p := range []struct {
		wanted bool
		text   string
	}{{c.Prefix, dir}, {c.Cflags, cflags}, {c.Fflags, fflags}, {c.Libs, libs}} {
		if p.wanted {
			parts = append(parts, p.text)
		}
	}
	text := strings.Join(parts, " ")
	if len(parts) == 0 {
		text = "prefix  " + dir + "\ncflags  " + cflags + "\nfflags  " + fflags + "\nlibs    " + libs
	}
	return v.out.answer(text, map[string]string{"prefix": dir, "cflags": cflags, "fflags": fflags, "libs": libs}, text)
}

// quoted makes a word of a shell out of a path.
func quoted(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/._-+,:@%", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
