// Package wire holds the messages of tutti, and the links that carry them.
package wire

// Message is what a link carries: a header that the kind says how to read, and opaque bytes.
type Message struct {
	Kind    uint16
	Header  []byte // msgpack
	Payload []byte // opaque
}
