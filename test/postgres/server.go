// Package postgres starts a real PostgreSQL server for a test: Debian's
// programs, a data folder of its own, a unix socket inside it and no TCP port.
// Where the server is not installed, tests are skipped and say what to install.
package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotInstalled says that no server program was found, and what brings one.
var ErrNotInstalled = errors.New("PostgreSQL's server is not installed here (Debian: apt-get install postgresql-15)")

// The port only names the socket's file.
const port = 5432

// Server is a running server. Its only user is postgres, without a password:
// the folder of the socket admits nobody else.
type Server struct {
	dir, bin string
	as       *syscall.Credential
	process  *os.Process
	ended    chan struct{}
}

// Launch makes a database cluster in a new temporary folder and starts a
// server on it, with fsync on as in production. Stop ends it. Errors:
// ErrNotInstalled; everything else is a failure.
func Launch() (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "waybill-pg-"); err != nil {
		return nil, fmt.Errorf("launch postgresql: %w", err)
	}
	if err = s.unprivileged(); err == nil {
		err = s.initialise()
	}
	if err == nil {
		err = s.start()
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// programs finds the newest installed server.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // a folder that is no number comes first
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", ErrNotInstalled
}

// unprivileged finds somebody to run as: the server refuses root.
func (s *Server) unprivileged() error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uerr, gerr, os.Chown(s.dir, int(uid), int(gid))); err != nil {
			return fmt.Errorf("launch postgresql as %s: %w", name, err)
		}
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return nil
	}
	return errors.New("launch postgresql: running as root, and there is neither a user postgres nor a user nobody to run the server as")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

func (s *Server) initialise() error {
	out, err := s.command("initdb", "--pgdata", s.data(), "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// start returns when the server answers. Its parent's death ends it: a test
// that panics or runs into its time limit leaves no server behind.
func (s *Server) start() error {
	cmd := s.command("postgres", "-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=",
		"-c", "max_connections=100", "-c", "shared_buffers=64MB", "-c", "log_min_messages=warning")
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	var log bytes.Buffer // read only after the process has ended
	cmd.Stdout, cmd.Stderr = &log, &log
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel ties Pdeathsig to the thread that forked, so that thread must live as long.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start postgresql: %w", err)
	}
	s.process, s.ended = cmd.Process, ended
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		select {
		case <-ended:
			return fmt.Errorf("postgresql ended at once\n%s", log.String())
		case <-tick.C:
			if s.command("pg_isready", "-q", "-h", s.dir, "-p", strconv.Itoa(port)).Run() == nil {
				return nil
			}
		}
	}
	return errors.New("postgresql did not answer within 30 s")
}

// URL is the address of the database postgres on this server.
func (s *Server) URL() string {
	return "postgres://postgres@/postgres?" + url.Values{"host": {s.dir}, "port": {strconv.Itoa(port)}}.Encode()
}

// Crash ends the server as a power cut would: no checkpoint, all connections
// torn. Start after it recovers from the log.
func (s *Server) Crash() error { return s.end(syscall.SIGQUIT) }

// Restart crashes the server and starts it again on the same data.
func (s *Server) Restart() error {
	if err := s.Crash(); err != nil {
		return err
	}
	return s.start()
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() error {
	return errors.Join(s.end(syscall.SIGINT), os.RemoveAll(s.dir))
}

func (s *Server) end(signal syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		err = errors.Join(err, errors.New("postgresql did not stop within 20 s"), s.process.Kill())
		<-s.ended
	}
	s.process = nil
	return err
}
