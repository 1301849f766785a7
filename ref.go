package tutti

//msgp:tuple BlobID Ref File

import "fmt"

// BlobID names a blob: the node that made it and that node's serial number. A blob never
// changes; a name is never given twice in the life of a cluster (Life tells apart the agents
// that had the same node number one after the other).
type BlobID struct {
	Node NodeID `msg:"n" json:"node"`
	Life uint32 `msg:"l" json:"life"`
	N    uint64 `msg:"s" json:"n"`
}

// IsZero reports whether b names nothing.
func (b BlobID) IsZero() bool { return b.N == 0 }

// String is the form used in URLs and logs: "3-1-42".
func (b BlobID) String() string { return fmt.Sprintf("%d-%d-%d", b.Node, b.Life, b.N) }

// ParseBlobID reads what String wrote. Errors are of kind [Invalid].
func ParseBlobID(s string) (BlobID, error) {
	var b BlobID
	n, err := fmt.Sscanf(s, "%d-%d-%d", &b.Node, &b.Life, &b.N)
	if err != nil || n != 3 || b.String() != s || b.N == 0 || b.Node < 0 {
		return BlobID{}, Errorf("read blob name", Invalid, "%q is not a blob name", s)
	}
	return b, nil
}

// Ref points to a blob: bytes kept where they were made until somebody needs them. Whoever holds
// a Ref keeps the blob; it is freed when nobody refers to it any more.
type Ref struct {
	Blob BlobID `msg:"b" json:"blob"`
	Size int64  `msg:"z" json:"size"`             // bytes
	Sum  uint32 `msg:"c,omitempty" json:"crc32c"` // CRC-32C of the bytes, checked after a transfer; 0 if not known
}

// IsZero reports whether r refers to nothing.
func (r Ref) IsZero() bool { return r.Blob.IsZero() }

// File is an input or output of a task: a place on disk or elsewhere, given by a URL or a path.
type File struct {
	URL string `msg:"u" json:"url"`                        // "data/in.fits", "file:///scratch/x", "https://..."
	As  string `msg:"a,omitempty" json:"as,omitempty"`     // the name under which the task sees it, "" for the base name
	Sum string `msg:"s,omitempty" json:"sha256,omitempty"` // SHA-256 of the content in hex, "" if not known
}
