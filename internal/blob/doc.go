// Package blob keeps big data: bytes named by their maker and a number, which stay where they
// were made until somebody needs them.
package blob
