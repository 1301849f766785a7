// Package wire carries messages between the processes of a cluster: reliable, ordered links over
// memory, Unix sockets, and TCP with mutual TLS.
package wire
