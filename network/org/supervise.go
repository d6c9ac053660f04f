package org

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/network/disk"
)

// supervisorName is under which a supervisor records itself beside the nodes.
const supervisorName = "supervisor"

// supervisorGrace is how long a supervisor may take to stop its nodes one after the other.
const supervisorGrace = 5 * stopGrace

// Patience is what a supervisor has with nodes. The zero value of each field means its default.
type Patience struct {
	FirstPause time.Duration // before the first restart: 1s; each further pause is twice as long
	MaxPause   time.Duration // 1m
	Steady     time.Duration // who ran as long begins anew with pauses: 2m
	Attempts   int           // starts in a row of which none was steady, before it is given up: 8
	Look       time.Duration // between looks at heights: 5s
	Still      time.Duration // a node that is behind and has not moved for so long is restarted: 30s
}

func (p Patience) withDefaults() Patience {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&p.FirstPause, time.Second}, {&p.MaxPause, time.Minute}, {&p.Steady, 2 * time.Minute}, {&p.Look, 5 * time.Second}, {&p.Still, 30 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if p.Attempts <= 0 {
		p.Attempts = 8
	}
	return p
}

// Restarts is how often a node was started again, and why the last time.
type Restarts struct {
	Count int       `json:"count"`
	At    time.Time `json:"at"`
	Why   string    `json:"why"`
}

func (f *Folder) restartsPath() string { return f.at("run", "restarts.json") }

// Restarts returns what the supervisor that runs, or ran last, counted, by node.
func (f *Folder) Restarts() (map[string]Restarts, error) {
	raw, err := os.ReadFile(f.restartsPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string]Restarts
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.restartsPath(), err)
	}
	return out, nil
}

// supervisor keeps the nodes of one folder alive.
type supervisor struct {
	*Folder
	patience Patience
	out      *lines
	giveUp   context.CancelCauseFunc

	mu       sync.Mutex
	restarts map[string]Restarts
	running  map[string]*watched
}

// watched is one node of a supervisor.
type watched struct {
	node  Node
	quit  context.CancelFunc
	ended chan struct{} // closed when the node is stopped for good
	again chan string   // asks for a restart, and says why
}

// Supervise runs the nodes as children of this process until ctx ends, and then stops them: the
// gateway first, which still wants its peer, the others after it. What they log goes to out, each
// line with its node. One that ends is started again after growing pauses, and so is one that
// stands still while others move on; one that cannot be kept alive ends all, and is the error.
func (f *Folder) Supervise(ctx context.Context, out io.Writer, patience Patience) error {
	if f.spec.Elsewhere {
		return ErrElsewhere
	}
	joined, err := f.Joined()
	if err != nil {
		return err
	}
	if !joined {
		return fmt.Errorf("%s has not joined a channel yet: it has no first block", f.spec.Name)
	}
	if err := f.claim(); err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.pidPath(supervisorName)) }() // whoever reads it finds this process gone
	run, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	s := &supervisor{
		Folder: f, patience: patience.withDefaults(), out: &lines{to: out}, giveUp: giveUp,
		restarts: map[string]Restarts{}, running: map[string]*watched{},
	}
	if err := s.remember(); err != nil {
		return err
	}
	if _, err := s.match(run); err != nil {
		s.drain()
		return err
	}
	go s.joinUntil(run)
	s.watch(run)
	s.drain()
	if ctx.Err() != nil {
		return nil // asked to end
	}
	return context.Cause(run)
}

// claim makes this process the folder's supervisor. Two would start everything twice.
func (f *Folder) claim() error {
	for _, name := range append([]string{supervisorName}, nodeNames(f.Nodes())...) {
		p, err := readProcess(f.pidPath(name))
		if err != nil {
			return err
		}
		if p.alive() && p.PID != os.Getpid() {
			return fmt.Errorf("%s runs already (pid %d): stop it first, with org down", name, p.PID)
		}
	}
	self, ok := identify(os.Getpid())
	if !ok {
		return errors.New("this process is not in /proc")
	}
	return self.record(f.pidPath(supervisorName))
}

func nodeNames(nodes []Node) []string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names
}

// match starts what the folder has and is not supervised, and stops what it has no more: while a
// supervisor runs, a version of the chaincode may come and another go.
func (s *supervisor) match(ctx context.Context) (*Folder, error) {
	f, err := Open(s.dir, s.opts)
	if err != nil {
		return nil, err
	}
	nodes := f.Nodes()
	s.end(func(w *watched) bool {
		return !slices.ContainsFunc(nodes, func(n Node) bool { return same(n, w.node) })
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range nodes {
		if s.running[n.Name] != nil {
			continue
		}
		alive, quit := context.WithCancel(context.WithoutCancel(ctx)) // drain decides who ends when
		w := &watched{node: n, quit: quit, ended: make(chan struct{}), again: make(chan string, 1)}
		s.running[n.Name] = w
		go s.keep(alive, f, w)
	}
	return f, nil
}

// end stops those of the nodes for good that are chosen.
func (s *supervisor) end(chosen func(*watched) bool) {
	var ending []*watched
	s.mu.Lock()
	for name, w := range s.running {
		if chosen(w) {
			ending = append(ending, w)
			delete(s.running, name)
		}
	}
	s.mu.Unlock() // a node on its way out may want to count something
	for _, w := range ending {
		w.quit()
	}
	for _, w := range ending {
		<-w.ended
	}
}

func same(a, b Node) bool {
	if a.Name != b.Name || a.Address != b.Address || (a.contract == nil) != (b.contract == nil) {
		return false
	}
	return a.contract == nil || *a.contract == *b.contract
}

// keep starts a node again and again until ctx ends.
func (s *supervisor) keep(ctx context.Context, f *Folder, w *watched) {
	defer close(w.ended)
	pause, attempts := s.patience.FirstPause, 0
	for {
		if s.awaitReleased(ctx, w.node.Name) {
			pause, attempts = s.patience.FirstPause, 0 // it ended because it was asked to
		}
		if ctx.Err() != nil {
			return
		}
		begun := time.Now()
		why, asked := s.once(ctx, f, w)
		if ctx.Err() != nil {
			return
		}
		stopped := s.wasStopped(w.node.Name)
		if s.held(w.node.Name) {
			s.out.say(supervisorName, w.node.Name+" is left alone: a command works on it")
			continue
		}
		if stopped { // somebody waits for it, and nothing is wrong with it
			s.out.say(supervisorName, w.node.Name+" was stopped, and is started again")
			continue
		}
		if time.Since(begun) >= s.patience.Steady {
			pause, attempts = s.patience.FirstPause, 0
		}
		// Who stood still was alive: it may be cut off or voted out, and is no reason to end the others.
		if asked {
			attempts = 0
		} else if attempts++; attempts >= s.patience.Attempts {
			s.giveUp(fmt.Errorf("%s cannot be kept alive: %d starts in a row, the last %s", w.node.Name, attempts, why))
			return
		}
		s.count(w.node.Name, why)
		s.out.say(supervisorName, fmt.Sprintf("%s %s; it is started again in %s", w.node.Name, why, pause))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, s.patience.MaxPause)
	}
}

// stoppedPath is written before somebody else stops a node that is supervised.
func (f *Folder) stoppedPath(node string) string { return f.at("run", node+".stopped") }

// wasStopped says whether a node ended because somebody stopped it, for a new certificate for one, and forgets it.
func (s *supervisor) wasStopped(node string) bool { return os.Remove(s.stoppedPath(node)) == nil }

// once runs a node until it ends, or is asked to, and says why.
func (s *supervisor) once(ctx context.Context, f *Folder, w *watched) (why string, asked bool) {
	// A child is told when the thread that made it is gone (Pdeathsig): the thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := f.command(ctx, w.node)
	if err != nil {
		return fmt.Sprintf("did not start: %v", err), false
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		return fmt.Sprintf("did not start: %v", err), false
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		s.out.copy(w.node.Name, read)
	}()
	p, ok := identify(cmd.Process.Pid)
	if ok {
		if err := p.record(f.pidPath(w.node.Name)); err != nil {
			s.out.say(supervisorName, fmt.Sprintf("%s: %v", w.node.Name, err))
		}
	}
	ended := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
			_ = p.stop(context.WithoutCancel(ctx), stopGrace)
		case reason := <-w.again:
			ended <- errors.New(reason)
			_ = p.stop(context.WithoutCancel(ctx), stopGrace)
		case <-copied:
		}
	}()
	err = cmd.Wait()
	_ = write.Close()
	<-copied
	_ = os.Remove(f.pidPath(w.node.Name)) // the process is gone, whoever reads it sees that
	select {
	case reason := <-ended:
		return reason.Error(), true
	default:
	}
	return ending(err), false
}

func ending(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "ended: " + exit.String()
	}
	if err != nil {
		return "ended: " + err.Error()
	}
	return "ended by itself"
}

// count remembers a restart, also for who asks for the folder's status.
func (s *supervisor) count(node, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.restarts[node]
	s.restarts[node] = Restarts{Count: r.Count + 1, At: time.Now().UTC().Truncate(time.Second), Why: why}
	if err := s.remember(); err != nil {
		s.out.say(supervisorName, err.Error())
	}
}

func (s *supervisor) remember() error {
	raw, err := json.MarshalIndent(s.restarts, "", "  ")
	if err != nil {
		return fmt.Errorf("encode restarts: %w", err)
	}
	return disk.Write(s.restartsPath(), append(raw, '\n'), 0o644)
}

// drain stops everything: the gateway, then those it stands on.
func (s *supervisor) drain() {
	s.end(func(w *watched) bool { return w.node.Kind == KindGateway })
	s.end(func(*watched) bool { return true })
}

// lines writes what several nodes log to one place, a line at a time.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

// longestLine is how much of a line is passed on in one piece, in bytes.
const longestLine = 64 << 10

func (l *lines) say(node, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.to, "%s | %s\n", node, line) // nobody reads: then nobody is told
}

func (l *lines) copy(node string, from io.Reader) {
	r := bufio.NewReaderSize(from, longestLine)
	for {
		line, _, err := r.ReadLine()
		if err != nil {
			return
		}
		l.say(node, string(line))
	}
}
