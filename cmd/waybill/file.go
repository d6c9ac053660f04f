package main

import (
	"fmt"
	"io"
	"os"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// maxText is how much is read of a file that holds a key, a trusted root or a
// configuration, in bytes: what is taken of it is smaller, and is said where it is read.
const maxText = 1 << 20

// readFile reads a file that a person names, "-" for standard input. One that is
// empty, or of more than most bytes, is Invalid; it is not read to its end, which it may not have.
func (a *app) readFile(what, file string, most int64) ([]byte, error) {
	from := a.in
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the caller's own file
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", what, err)
		}
		defer func() { _ = f.Close() }() // only read from
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, most+1))
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	switch {
	case len(b) == 0:
		return nil, provenance.Errorf(provenance.Invalid, "%s: no %s, the file is empty", file, what)
	case int64(len(b)) > most:
		return nil, provenance.Errorf(provenance.Invalid, "%s: more than %d bytes", file, most)
	}
	return b, nil
}
