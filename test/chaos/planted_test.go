package chaos

import (
	"context"
	"path"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/rogue"
)

// planted is a defect: one place of the gateway's source that reads otherwise
// when its program is built for the run.
type planted struct {
	name  string
	file  string
	edits [][2]string // what stands there, and what is put in its place
	want  check.Kind
	twin  bool // the twin is busy, so that there are many invalid transactions
	alive bool // the gateway lives on while its peer dies: one that is started again asks before it sends
}

func defects() []planted {
	return []planted{
		{
			name: "ack before fsync", file: "gateway/intake/coalesce.go", want: check.Lost,
			edits: [][2]string{{
				"got, err = sink.Accept(ctx, s.lead)\n",
				"got.New = len(s.lead)\n\tgo func(ctx context.Context) {\n\t\ttime.Sleep(500 * time.Millisecond)\n\t\t_, _ = sink.Accept(ctx, s.lead)\n\t}(context.WithoutCancel(ctx))\n",
			}},
		},
		{
			name: "no content key", file: "gateway/intake/format.go", want: check.Twice,
			edits: [][2]string{{
				"return provenance.NewEventID(m.connector.Kind, m.connector.Name, parts...)",
				"return provenance.NewEventID(m.connector.Kind, m.connector.Name, append(parts, m.now.String())...)",
			}},
		},
		{
			name: "index height outside the transaction", file: "gateway/index/apply.go", want: check.Skewed,
			edits: [][2]string{
				{"import (\n", "import (\n\t\"time\"\n"},
				{
					"\ttx, err := x.backend.begin(context.WithoutCancel(ctx))\n",
					`	first, err := x.backend.begin(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	last := blocks[len(blocks)-1]
	if err := errors.Join(first.setHead(last.Number+1, notNil(last.Hash)), first.commit()); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond)
	tx, err := x.backend.begin(context.WithoutCancel(ctx))
`,
				},
				{"if b.Number != h.height {", "if false {"},
				{"if h.height > 0 && !bytes.Equal(", "if false && !bytes.Equal("},
			},
		},
		{
			name: "INVALID transactions indexed", file: "gateway/ledger/block.go", want: check.Skewed, twin: true,
			edits: [][2]string{{"valid := i < len(flags) && ", "valid := true || i < len(flags) && "}},
		},
		{
			name: "new transaction id on each retry", file: "gateway/record/outcome.go", want: check.Resent, alive: true,
			edits: [][2]string{{
				"\t\tdefault:\n\t\t\tl.wait(ctx, err)\n\t\t}\n\t\ttimeout = l.Limits.Status\n",
				"\t\tdefault:\n\t\t\tl.wait(ctx, err)\n\t\t\tif unsealed, err := l.reseal(ctx, &s); err != nil || unsealed {\n\t\t\t\treturn false, err\n\t\t\t}\n\t\t}\n\t\ttimeout = l.Limits.Status\n",
			}, {
				// No defect: it leaves time for the peer to die between a submit and its status, some 80 ms otherwise.
				"\tctx, cancel := context.WithTimeout(ctx, timeout)\n\tdefer cancel()\n\treturn l.Ledger.CommitStatus(",
				"\ttime.Sleep(time.Second)\n\tctx, cancel := context.WithTimeout(ctx, timeout)\n\tdefer cancel()\n\treturn l.Ledger.CommitStatus(",
			}},
		},
		{
			name: "429 treated as success", file: "gateway/intake/handler.go", want: check.Lost,
			edits: [][2]string{
				{`return refuse(http.StatusServiceUnavailable, code, "the queue is full")`, `return answer{status: http.StatusOK}`},
				{`return refuse(http.StatusTooManyRequests, provenance.Unavailable, "too many notifications of this connector at once")`, `return answer{status: http.StatusOK}`},
				// No defect: few senders never meet the bound of 64 at once, and would never hear 429.
				{"c.Concurrency = DefaultConcurrency\n", "c.Concurrency = 1\n"},
			},
		},
	}
}

// The checker is proved on the real thing: a real network and registry, and a
// gateway program with one defect in it. TestCheckerCatches (gateway/record)
// has the same six in one process, in seconds and in every `make test`.
func TestPlanted(t *testing.T) {
	if !*chaosPlanted {
		t.Skip("six programs on six networks take a quarter of an hour: make chaos-planted")
	}
	for _, d := range defects() {
		t.Run(d.name, func(t *testing.T) { plant(t, d) })
	}
}

// plantedEvents is how much is sent in a planted run.
const plantedEvents = 1200

// plantedLength is how long it lasts.
const plantedLength = 40 * time.Second

func plant(t *testing.T, d planted) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	r := start(t, ctx, 1, d.build)
	if d.twin {
		r.twinEvery = 500 * time.Millisecond
	}
	// No id is told twice with two bodies: what keeps ids apart may be broken.
	for _, s := range r.senders {
		s.honest = true
	}
	if err := r.traffic(ctx, d.strikes(), plantedLength, plantedEvents); err != nil {
		t.Fatal(err)
	}
	if _, err := r.rest(ctx); err != nil {
		t.Fatalf("%v\n%s", err, troubles(ctx, r.lab, r.breaker.gateways))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	run, err := r.judgement(ctx)
	if err != nil {
		t.Fatal(err)
	}
	run.Swept = false
	report := check.Judge(run)
	t.Logf("%s: %s\n%v", d.name, summary(r.breaker.done), report)
	if !report.Has(d.want) {
		t.Errorf("the checker has not found it: want %q", d.want)
	}
}

// strikes end again and again what the defects are in.
func (d planted) strikes() []strike {
	var out []strike
	peer := func(at time.Duration) {
		out = append(out, strike{at: at, out: 2 * time.Second, scope: theNetwork, what: "kill peer", org: lab.Owner, nodes: []string{lab.Owner + "-peer"}, sig: syscall.SIGKILL})
	}
	for i, at := 0, 3*time.Second; at < plantedLength; i, at = i+1, at+5*time.Second {
		if d.alive {
			peer(at)
			continue
		}
		out = append(out, strike{at: at, out: time.Second, scope: "gateway " + lab.Owner, what: "kill gateway", org: lab.Owner, sig: syscall.SIGKILL})
		if i%3 == 2 {
			peer(at + 2*time.Second)
		}
	}
	return out
}

// build puts the gateway with the defect in the place of the sound one.
func (d planted) build(ctx context.Context, l *lab.Lab) error {
	return d.compile(ctx, l.Dir, "-o", filepath.Join(l.Bin, "waybill-gateway"), "./cmd/waybill-gateway")
}

func (d planted) compile(ctx context.Context, dir string, args ...string) error {
	return rogue.Program{Name: d.name, File: d.file, Edits: d.edits}.Build(ctx, dir, args...)
}

// Every defect still fits its place and compiles, which costs no network to find out.
func TestPlantedPlaces(t *testing.T) {
	for _, d := range defects() {
		if err := d.compile(t.Context(), t.TempDir(), "./"+path.Dir(d.file)); err != nil {
			t.Error(err)
		}
	}
}
