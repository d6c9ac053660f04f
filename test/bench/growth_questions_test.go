package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/test/lab"
)

// spread is how long something took, in milliseconds.
type spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	N   int     `json:"n"`
}

func spreadOf(all []time.Duration) spread {
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return spread{ms(all[len(all)/2]), ms(all[len(all)*99/100]), len(all)}
}

// answers are the times of questions, by what was asked.
type answers map[string]spread

// What is asked, as an auditor of the owner asks it: one question after the other.
const (
	askVerdict    = "verdict"
	askUnproven   = "verdict, recorded by its digest alone"
	askStatus     = "status of an image"
	askHistory    = "history of an image"
	askRepository = "history of a repository, newest page"
	askTag        = "tag"
	askGateway    = "status of the gateway"
)

func questions() []string {
	return []string{askVerdict, askUnproven, askStatus, askHistory, askRepository, askTag, askGateway}
}

// ask asks n questions of each sort about images drawn from all that are recorded,
// and for verdicts about those that rules apply to.
func ask(ctx context.Context, l *lab.Lab, events *load, judged []string, n int) (answers, error) {
	c, err := fresh(ctx, l)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // only read from
	out := answers{}
	for _, question := range questions() {
		var all []time.Duration
		for i := range n + 1 {
			reference := judged[i%len(judged)]
			if question != askVerdict {
				reference = events.reference(events.rand.IntN(events.images()))
			}
			began := time.Now()
			if err := askOnce(ctx, c, question, reference); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", question, reference, err)
			}
			if i > 0 { // the first one makes the connection
				all = append(all, time.Since(began))
			}
		}
		out[question] = spreadOf(all)
	}
	return out, nil
}

// fresh connects to the owner's gateway once it stands where its peer does: it began
// a moment ago and may not know that yet.
func fresh(ctx context.Context, l *lab.Lab) (*api.Client, error) {
	c, err := l.API(ctx, lab.Owner, "auditor")
	if err != nil {
		return nil, err
	}
	err = lab.Poll(ctx, time.Minute, func() error {
		s, err := statusOf(ctx, c)
		return about(err, !s.GetStale() && s.GetHeight() >= s.GetPeerHeight(), s)
	})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func askOnce(ctx context.Context, c *api.Client, question, reference string) error {
	name, _, _ := strings.Cut(reference, "@")
	host, repo, _ := strings.Cut(name, "/")
	switch question {
	case askVerdict, askUnproven:
		r, err := c.GetVerdict(ctx, reference, "production")
		return about(err, (r.GetVerdict() == "unknown") == (question == askUnproven) && r.GetPolicy() != nil, r)
	case askStatus:
		r, err := c.GetImage(ctx, reference)
		return about(err, len(r.GetPlaces()) == 1, r)
	case askHistory:
		r, err := c.ListHistory(ctx, &waybillv1.ListHistoryRequest{Image: reference})
		return about(err, len(r.GetEntries()) > 0, r)
	case askRepository:
		r, err := c.ListHistory(ctx, &waybillv1.ListHistoryRequest{Image: name, NewestFirst: true})
		return about(err, len(r.GetEntries()) > 0, r)
	case askTag:
		r, err := c.GetTag(ctx, provenance.Host(host), provenance.Repository(repo), provenance.Tag(streams()[0]))
		return about(err, r.GetDigest() != "", r)
	default:
		r, err := c.GetStatus(ctx)
		return about(err, r.GetHeight() > 0 && !r.GetStale(), r)
	}
}

// about is the error of an answer, or that it is not the one that is so.
func about(err error, right bool, got any) error {
	if err == nil && !right {
		err = fmt.Errorf("the answer is %v", got)
	}
	return err
}

// singles are pushes that came one at a time into repositories that are large.
type singles struct {
	Visible spread `json:"visible"` // from the notification's sending until the API resolves the tag
	New     writes `json:"new"`
	Moved   writes `json:"moved"`
}

// writes are what a transaction with one event writes, on the average.
type writes struct {
	Keys  float64 `json:"keys"`
	Bytes float64 `json:"bytes"` // of keys and values
}

const visibleLook = 2 * time.Millisecond

// pushSingly posts one push after the other, n under new tags and then n that move a tag.
func pushSingly(ctx context.Context, l *lab.Lab, events *load, n int) (s singles, err error) {
	c, err := fresh(ctx, l)
	if err != nil {
		return s, err
	}
	defer func() { _ = c.Close() }() // only read from
	var all []time.Duration
	push := func(tag func(i int) provenance.Tag) (writes, error) {
		status, err := c.GetStatus(ctx)
		if err != nil {
			return writes{}, err
		}
		for i := range n {
			took, err := pushOne(ctx, l, c, events.host, repoName(i%events.repos), tag(i))
			if err != nil {
				return writes{}, err
			}
			all = append(all, took)
		}
		return writesSince(ctx, l, status.GetHeight(), n)
	}
	if s.New, err = push(func(i int) provenance.Tag { return provenance.Tag(fmt.Sprintf("single-%d", i)) }); err != nil {
		return s, err
	}
	if s.Moved, err = push(func(int) provenance.Tag { return provenance.Tag(streams()[0]) }); err != nil {
		return s, err
	}
	s.Visible = spreadOf(all)
	return s, nil
}

// pushOne returns how long after a push was notified its tag resolved.
func pushOne(ctx context.Context, l *lab.Lab, c *api.Client, host provenance.Host, repo provenance.Repository, tag provenance.Tag) (time.Duration, error) {
	e := newEvent("push", string(host), string(repo), string(tag))
	sent := time.Now()
	if err := post(ctx, l, []event{e}); err != nil {
		return 0, err
	}
	look := time.NewTicker(visibleLook)
	defer look.Stop()
	for {
		r, err := c.GetTag(ctx, host, repo, tag)
		switch {
		case err == nil && r.GetDigest() == e.Target["digest"]:
			return time.Since(sent), nil
		case err != nil && provenance.CodeOf(err) != provenance.NotFound && provenance.CodeOf(err) != provenance.Unavailable: // it may be stale for a while
			return 0, err
		case time.Since(sent) > 30*time.Second:
			return 0, fmt.Errorf("%s/%s:%s was accepted and is not visible after 30s", host, repo, tag)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-look.C:
		}
	}
}

// writesSince reads the blocks from a height on, up to the n-th transaction with a segment.
func writesSince(ctx context.Context, l *lab.Lab, height uint64, n int) (writes, error) {
	c, err := l.Dial(lab.Owner, "auditor")
	if err != nil {
		return writes{}, err
	}
	defer func() { _ = c.Close() }() // only read from
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var sum writes
	found := 0
	enough := errors.New("enough")
	err = c.Blocks(ctx, height, func(b block.Block) error {
		for _, tx := range b.Txs {
			if tx.Function != "record:Segment" {
				continue
			}
			for _, w := range tx.Writes {
				sum.Keys++
				sum.Bytes += float64(len(w.Key) + len(w.Value))
			}
			if found++; found == n {
				return enough
			}
		}
		return nil
	})
	if !errors.Is(err, enough) {
		return writes{}, err
	}
	return writes{sum.Keys / float64(n), sum.Bytes / float64(n)}, nil
}
