package blob

// joinSums is the CRC-32C of two pieces of which only the sums are known: of a, and of b, which
// is n bytes long. Running a CRC over n zero bytes is a linear map of its 32 bits, so it is a matrix
// over GF(2), and squaring it doubles n.
func joinSums(a, b uint32, n int64) uint32 {
	m := zeroByte
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			a = m.times(a)
		}
		m = m.squared()
	}
	return a ^ b
}

// matrix has the images of the 32 bits.
type matrix [32]uint32

// zeroByte carries a reflected CRC over eight zero bits.
var zeroByte = func() (m matrix) {
	for i := range m {
		v := uint32(1) << i
		for range 8 {
			v = v>>1 ^ 0x82f63b78&-(v&1)
		}
		m[i] = v
	}
	return m
}()

func (m *matrix) times(v uint32) (out uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		out ^= m[i] & -(v & 1)
	}
	return out
}

func (m *matrix) squared() (out matrix) {
	for i, v := range m {
		out[i] = m.times(v)
	}
	return out
}
