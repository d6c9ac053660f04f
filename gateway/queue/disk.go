package queue

import (
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// diskWatch looks at the free space at most once a second. A full disk found
// by a failing write could already have cost a half-written log.
type diskWatch struct {
	dir  string
	min  int64
	free func(dir string) (int64, error)

	mu   sync.Mutex
	at   time.Time
	last error
}

func (w *diskWatch) check(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.at.IsZero() && now.Sub(w.at) < time.Second && now.Sub(w.at) >= 0 {
		return w.last
	}
	w.at, w.last = now, nil
	free, err := w.free(w.dir)
	switch {
	case err != nil:
		w.last = provenance.Wrap(provenance.Full, err, "queue disk: free space is not known")
	case free < w.min:
		w.last = provenance.Errorf(provenance.Full, "queue disk: %d bytes are free, %d are wanted", free, w.min)
	}
	return w.last
}

func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// lock takes a file lock that the kernel drops when the process dies, however
// it dies.
func lock(path string) (func() error, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "lock queue")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, provenance.Wrap(provenance.Conflict, err, "lock queue: another process has it open")
	}
	return f.Close, nil
}
