package postgres

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Start launches a server for one test and stops it after it. Where none is
// installed the test is skipped, and says so; with -short it is left to the
// tests of real processes.
func Start(t testing.TB) *Server {
	t.Helper()
	leave(t)
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
// TestMain calls Main, or Stop after the tests.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
	last   atomic.Int64 // schema
}

// Main runs the tests, stops the server if one was launched, and returns the
// code to exit with: func TestMain(m *testing.M) { os.Exit(server.Main(m)) }.
func (s *Shared) Main(m *testing.M) int {
	code := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// Schema is the URL of a schema that no other call has.
func (s *Shared) Schema(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("%s&search_path=test%d", s.URL(t), s.last.Add(1))
}

// URL launches the server at the first call and returns its address; with -short
// it skips, see Start. Tests keep apart by schemas or databases of their own.
func (s *Shared) URL(t testing.TB) string {
	t.Helper()
	leave(t)
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

func leave(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a PostgreSQL server: make race")
	}
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
