package gateway

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// readDisposable reads a file of JSON that the gateway can do without. One that
// is not there changes nothing.
func readDisposable(path string, into any) error {
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

// replaceFile writes a file so that a crash leaves the old one or the new one.
func replaceFile(path string, b []byte) (err error) {
	next := path + ".new" // one process at a time: the queue's lock says so
	f, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(next, path)
	}
	return err
}
