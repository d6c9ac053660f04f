package postgres

import (
	"errors"
	"sync"
	"testing"
)

// Start launches a server for one test and stops it after it. Where none is
// installed the test is skipped, and says so.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := Launch()
	require(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Shared is one server for all tests of a package; the zero value is ready.
// TestMain calls Stop after the tests.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// URL launches the server at the first call and returns its address. Tests
// keep apart by schemas or databases of their own.
func (s *Shared) URL(t testing.TB) string {
	t.Helper()
	s.once.Do(func() { s.server, s.err = Launch() })
	require(t, s.err)
	return s.server.URL()
}

// Stop ends the server if it was launched.
func (s *Shared) Stop() error {
	if s.server == nil {
		return nil
	}
	return s.server.Stop()
}

func require(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrNotInstalled) {
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
