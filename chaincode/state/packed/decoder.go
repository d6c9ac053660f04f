package packed

import (
	"encoding/binary"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Version opens every value that is written in binary, of pages, of runs and
// of records; no JSON record opens with that byte.
const Version = 1

// AppendText writes a text: its length as a varint, and its bytes.
func AppendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Decoder reads a binary value from the front and remembers the first failure.
type Decoder struct {
	Rest []byte
	Bad  bool
}

// Version reads the version, which must be this one.
func (d *Decoder) Version() { d.Bad = d.Byte() != Version }

// Byte reads a byte.
func (d *Decoder) Byte() byte {
	if d.Bad || len(d.Rest) == 0 {
		d.Bad = true
		return 0
	}
	b := d.Rest[0]
	d.Rest = d.Rest[1:]
	return b
}

func (d *Decoder) skip(n int) {
	if n <= 0 {
		d.Bad = true
		return
	}
	d.Rest = d.Rest[n:]
}

// Uvarint reads a number.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.Rest)
	d.skip(n)
	return v
}

// Varint reads a number that may be negative.
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.Rest)
	d.skip(n)
	return v
}

// Count reads a number of at most limit.
func (d *Decoder) Count(limit int) int {
	v := d.Uvarint()
	if v > uint64(limit) {
		d.Bad = true
		return 0
	}
	return int(v)
}

// Text reads what AppendText wrote.
func (d *Decoder) Text() string { return string(d.bytes()) }

// bytes reads the same; they are those of the value that is read.
func (d *Decoder) bytes() []byte {
	n := d.Count(len(d.Rest))
	if d.Bad || n > len(d.Rest) {
		d.Bad = true
		return nil
	}
	b := d.Rest[:n:n]
	d.Rest = d.Rest[n:]
	return b
}

// End is an Internal error where something was bad, or is left over: only the
// contract writes these values.
func (d *Decoder) End(what string) error {
	if d.Bad || len(d.Rest) != 0 {
		return provenance.Errorf(provenance.Internal, "a %s record is damaged or of another version", what)
	}
	return nil
}
