//go:build !release

package dist

import "io/fs"

// embedded is nil: this build carries no libraries.
var embedded fs.FS
