//go:build release

package dist

import (
	"embed"
	"io/fs"
)

// `make release` fills the folder.
//
//go:embed all:files
var files embed.FS

var embedded, _ = fs.Sub(files, "files")
