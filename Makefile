# make demo   builds tutti and runs its main job, a real analysis, on an embedded cluster
# make check  installs what the tests need, then runs vet, staticcheck and every test
# make build  leaves the static binary in bin/tutti

.PHONY: build check demo generate bench

build:
	CGO_ENABLED=0 go build -trimpath -o bin/tutti ./cmd/tutti

check:
	scripts/check

demo: build
	go run ./examples/pmf -o out/pmf

bench:
	bench/run

generate:
	go generate ./...
