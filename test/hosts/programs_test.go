package hosts_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/hosts"
)

// run is the test program as one of the programs that are installed on hosts; ran is false where it is the tests.
func run() (ran bool, err error) {
	switch filepath.Base(os.Args[0]) {
	case "tcp":
		return true, tcp(os.Args[1:])
	case "events":
		return true, events(os.Args[1:])
	}
	return false, nil
}

// installPrograms puts them onto every host.
func installPrograms(bed *hosts.Testbed) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	for _, name := range []string{"tcp", "events"} {
		if err := bed.InstallAs(name, exe); err != nil {
			return err
		}
	}
	return nil
}

// notification is an event as CNCF distribution tells it (notifications.md).
type notification struct {
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	Action    string    `json:"action"`
	Target    struct {
		MediaType  string `json:"mediaType"`
		Digest     string `json:"digest"`
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"target"`
	Actor struct {
		Name string `json:"name"`
	} `json:"actor"`
}

// sender tells a hook of pushes and pulls that nobody reads back, as a registry does: each until it is taken.
type sender struct {
	hook, secret, host, action string
	name                       string
	per, rate                  int // events in a request, and a second; rate 0: as fast as they are taken
	client                     *http.Client

	mu  sync.Mutex
	out *bufio.Writer // a line for each event that was promised: when, its id, its key
	n   int
}

// events is a program: it sends events until it is told to end or has sent so many, and writes down what it was promised.
func events(args []string) error {
	s := &sender{client: &http.Client{Timeout: 10 * time.Second}}
	flags := flag.NewFlagSet("events", flag.ContinueOnError)
	secret, out := flags.String("secret", "", "the file with the connector's secret"), flags.String("out", "", "the file of what was promised")
	count, workers := flags.Int("count", 0, "events in all; 0: until told to end"), flags.Int("workers", 1, "requests at once")
	flags.StringVar(&s.hook, "hook", "", "URL")
	flags.StringVar(&s.host, "host", "", "the registry's name")
	flags.StringVar(&s.action, "action", "push", "push or pull")
	flags.StringVar(&s.name, "name", "", "what sets these events apart")
	flags.IntVar(&s.per, "per", 4, "events in a request")
	flags.IntVar(&s.rate, "rate", 0, "events a second")
	if err := flags.Parse(args); err != nil {
		return err
	}
	raw, err := os.ReadFile(*secret)
	if err != nil {
		return err
	}
	s.secret = strings.TrimSpace(string(raw))
	file, err := os.OpenFile(*out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	s.out = bufio.NewWriter(file)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var group sync.WaitGroup
	errs := make([]error, *workers)
	for w := range *workers {
		group.Go(func() { errs[w] = s.send(ctx, w, *workers, *count) })
	}
	group.Wait()
	return errors.Join(append(errs, s.out.Flush(), file.Close())...)
}

// send sends one worker's share. What it has begun to tell it brings to an end, also when it is told to end.
func (s *sender) send(ctx context.Context, worker, workers, count int) error {
	draw := rand.New(rand.NewPCG(1, uint64(worker)))
	due := time.Now()
	for i := worker; ctx.Err() == nil && (count == 0 || i*s.per < count); i += workers {
		list := make([]notification, s.per)
		for k := range list {
			n := &list[k]
			n.ID, n.Action, n.Timestamp, n.Actor.Name = fmt.Sprintf("%s-%d-%d", s.name, i, k), s.action, time.Now().UTC(), s.name
			n.Target.MediaType, n.Target.Repository = "application/vnd.oci.image.manifest.v1+json", fmt.Sprint("app", draw.IntN(12))
			n.Target.Tag, n.Target.Digest = fmt.Sprint("t", draw.IntN(40)), provenance.SHA256Of([]byte(n.ID)).String()
			if s.action == "pull" {
				n.Target.Digest = provenance.SHA256Of(fmt.Append(nil, s.name, draw.IntN(2000))).String()
			}
		}
		if err := s.tell(list); err != nil {
			return err
		}
		if s.rate > 0 {
			due = due.Add(time.Duration(s.per*workers) * time.Second / time.Duration(s.rate))
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(due)):
			}
		}
	}
	return nil
}

func (s *sender) tell(list []notification) error {
	body, err := json.Marshal(map[string]any{"events": list})
	if err != nil {
		return err
	}
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		status, text := s.post(body)
		switch {
		case status == http.StatusOK:
			return s.promised(list)
		case status == 0, status == http.StatusTooManyRequests, status >= 500:
			time.Sleep(delay)
		default:
			return fmt.Errorf("the hook answers %d: %s", status, text)
		}
	}
}

// post returns 0 where there is no answer.
func (s *sender) post(body []byte) (int, string) {
	req, err := http.NewRequest(http.MethodPost, s.hook, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadRequest, err.Error()
	}
	req.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v2+json")
	req.Header.Set("Authorization", "Bearer "+s.secret)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

func (s *sender) promised(list []notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UnixNano()
	for _, n := range list {
		key := check.Key(n.Action, s.host, n.Target.Repository, n.Target.Tag, n.Target.Digest)
		if _, err := fmt.Fprintf(s.out, "%d\t%s\t%s\n", now, n.ID, key); err != nil {
			return err
		}
	}
	if s.n++; s.n%10 == 0 {
		return s.out.Flush() // so that it can be followed
	}
	return nil
}

// promise is an event that a sender was told 2xx for.
type promise struct {
	check.Claim
	at time.Time
}

// promises reads what a sender wrote, whole lines only.
func promises(path string) ([]promise, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []promise
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if !strings.HasSuffix(line, "\n") {
			break
		}
		if len(parts) != 3 {
			return nil, fmt.Errorf("%s: a line %q", path, line)
		}
		nanos, err := strconv.ParseInt(parts[0], 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, promise{check.Claim{ID: parts[1], Key: parts[2]}, time.Unix(0, nanos)})
	}
	return out, err
}
