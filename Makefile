# make demo   builds tutti and runs its main job, a real analysis, on an embedded cluster
# make check  installs what the tests need, then runs vet, staticcheck and every test
# make build  leaves the static binary in bin/tutti
# make lib    leaves in dist what programs in C, Fortran and Python are built with (needs gcc and gfortran)
# make release  a binary with all of that inside

.PHONY: build lib release check demo generate bench

build:
	CGO_ENABLED=0 go build -trimpath -o bin/tutti ./cmd/tutti

lib:
	lib/build dist

release: lib
	rm -rf internal/dist/files
	cp -r dist internal/dist/files
	CGO_ENABLED=0 go build -trimpath -tags release -o bin/tutti ./cmd/tutti

check:
	scripts/check

demo: build
	go run ./examples/pmf -o out/pmf

bench:
	bench/run

generate:
	go generate ./...
