// Package statefile reads and replaces the small files that a gateway can do
// without: each says how far a loop is, and costs a second look where it is lost.
package statefile

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Read reads a file of JSON that the gateway can do without. One that
// is not there changes nothing.
func Read(path string, into any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "open %s", path)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return provenance.Wrap(provenance.Internal, err, "%s is damaged; it may be deleted", path)
	}
	return nil
}

// Replace writes a file so that a crash leaves the old one or the new one.
func Replace(path string, b []byte) error { return renameio.WriteFile(path, b, 0o600) }
