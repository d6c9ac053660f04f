package sweep

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/findings"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// caughtUp waits until what this gateway had accepted by the moment t is on the
// ledger and in the index, so that a notification that came in is not taken for
// one that was lost. A queue that does not empty (it may wait for another
// registry) is not waited for without end.
func (p *pass) caughtUp(ctx context.Context, t time.Time) error {
	began := time.Now()
	sealed := int64(-1) // Done when all that is sealed now will be recorded
	var empty time.Time
	defer p.update(func(r *run) { r.Doing = "" })
	for {
		if empty.IsZero() {
			stats, err := p.Queue.Stats(ctx)
			if err != nil && ctx.Err() == nil && provenance.CodeOf(err) != provenance.Unavailable {
				return err
			}
			if err == nil && (stats.OldestPending.IsZero() || stats.OldestPending.After(t)) {
				if sealed < 0 {
					sealed = stats.Done + stats.Sealed
				}
				if stats.Sealed == 0 || stats.Done >= sealed {
					empty = time.Now()
				}
			}
			if empty.IsZero() && time.Since(began) > p.Limits.queuePatience {
				p.note("the queue did not empty in %s: what is in it may be reported as unseen", p.Limits.queuePatience)
				empty = time.Now()
			}
			p.update(func(r *run) { r.Doing = "waits for the queue to empty" })
		}
		if !empty.IsZero() {
			if p.Level(empty) {
				return nil
			}
			p.update(func(r *run) { r.Doing = "waits for the index to be level with the peer" })
		}
		if err := wait.For(ctx, p.Limits.poll); err != nil {
			return err
		}
	}
}

// suspects returns what waits for its grace to end, the earliest first.
func (p *pass) suspects() (all []suspect) {
	p.update(func(r *run) { all = slices.Clone(r.Suspects) })
	return all
}

// confirm looks again at what was set aside and whose grace is over. It waits
// until at most room are left.
func (p *pass) confirm(ctx context.Context, room int) error {
	for {
		all := p.suspects()
		due := 0
		for due < len(all) && time.Since(all[due].Seen) >= p.Config.Grace {
			due++
		}
		if due == 0 {
			if len(all) <= room {
				return nil
			}
			next := all[0]
			if room == 0 { // there is nothing else to do: all of them at once
				next = all[len(all)-1]
			}
			wants := p.Config.Grace - time.Since(next.Seen)
			p.update(func(r *run) {
				r.Doing = fmt.Sprintf("gives %d differences %s: their notifications may be on the way", len(all), p.Config.Grace)
			})
			p.save(ctx, false)
			err := wait.For(ctx, wants)
			p.update(func(r *run) { r.Doing = "" })
			if err != nil {
				return err
			}
			continue
		}
		if err := p.caughtUp(ctx, time.Now()); err != nil {
			return err
		}
		for _, s := range all[:due] {
			if err := p.recheck(ctx, s); err != nil {
				return err
			}
			p.save(ctx, false)
		}
	}
}

// recheck looks at the first suspect again. One that is another difference now
// (a tag that moves on) gets its grace anew, a few times.
func (p *pass) recheck(ctx context.Context, s suspect) error {
	f, err := p.compareAgain(ctx, s.Finding)
	if err != nil {
		return err
	}
	const turns = 3
	switch {
	case f == nil:
	case (f.Kind != s.Kind || f.Digest != s.Digest || f.Recorded != s.Recorded) && s.Tries < turns && f.Kind != findings.Unreachable:
		next := suspect{Finding: *f, Seen: time.Now(), Tries: s.Tries + 1}
		p.update(func(r *run) { r.Suspects = append(r.Suspects[1:], next) })
		return nil
	default:
		if err := p.conclude(ctx, *f); err != nil {
			return err
		}
	}
	p.update(func(r *run) { r.Suspects = r.Suspects[1:] })
	return nil
}

// conclude acts on a finding that is sure. A crash after its events were
// accepted makes it once more, with the same ids.
func (p *pass) conclude(ctx context.Context, f findings.Finding) error {
	run := p.dry()
	f.At = time.Now().UTC().Truncate(time.Millisecond)
	var deliveries []delivery.Delivery
	var err error
	switch f.Kind {
	case findings.Unrecorded, findings.Moved, findings.Restored:
		deliveries, err = p.pushed(ctx, &f)
	case findings.TagGone:
		deliveries, err = p.delivery(ctx, f, provenance.Event{Action: provenance.TagDelete, Repository: f.Repository, Tag: f.Tag}, f.Recorded)
	case findings.ImageGone:
		deliveries, err = p.delivery(ctx, f, provenance.Event{Action: provenance.Delete, Repository: f.Repository, Digest: f.Digest}, f.Digest)
	}
	if err != nil || f.Kind == "" {
		return err
	}
	switch {
	case run:
		f.Outcome = findings.DryRun
	case len(deliveries) == 0:
		f.Outcome = findings.Alarm
	default:
		accepted, err := p.accept(ctx, deliveries)
		if err != nil {
			return err
		}
		if f.Outcome = findings.Known; accepted.New > 0 {
			f.Outcome = findings.Queued
		}
	}
	p.report(ctx, f)
	return nil
}

func (p *pass) dry() (dry bool) {
	p.update(func(r *run) { dry = r.DryRun })
	return dry
}

// keepWorst drops what is more than may be kept: the oldest of the repository with
// most findings, and other bytes for a recorded digest last of all. Whoever may
// push to one repository hides nothing of another one, nor the worst of its own.
// All are counted and in the log.
func keepWorst(list []findings.Finding, most int) []findings.Finding {
	type group struct {
		worst bool
		repo  provenance.Repository
	}
	of := func(f findings.Finding) group { return group{f.Kind == findings.OtherBytes, f.Repository} }
	for len(list) > most {
		count := map[group]int{}
		for _, f := range list {
			count[of(f)]++
		}
		out := 0
		for i, f := range list {
			a, b := of(f), of(list[out])
			if a.worst != b.worst && b.worst || a.worst == b.worst && count[a] > count[b] {
				out = i
			}
		}
		list = slices.Delete(list, out, out+1)
	}
	return list
}

// report puts a finding into the result and, unless the sweep is a dry one,
// raises the alert.
func (p *pass) report(ctx context.Context, f findings.Finding) {
	p.update(func(r *run) {
		r.Counts[f.Kind]++
		r.Findings = keepWorst(append(r.Findings, f), p.Limits.findings)
		if !r.DryRun {
			at := p.state(p.host)
			at.Alerts = keepWorst(append(at.Alerts, f), p.Limits.alerts)
		}
	})
	if f.Outcome == findings.DryRun {
		return
	}
	p.Count(p.host, f.Kind)
	level, text := slog.LevelWarn, "sweep: the registry is not as recorded; nothing was notified"
	if f.Kind == findings.OtherBytes {
		level, text = slog.LevelError, "sweep: the registry serves other bytes for a recorded digest"
	}
	p.Log.LogAttrs(ctx, level, text, slog.String("kind", f.Kind), slog.String("registry", string(p.host)), slog.String("repository", string(f.Repository)),
		slog.String("tag", string(f.Tag)), slog.String("digest", f.Digest.String()), slog.String("recorded", f.Recorded.String()),
		slog.String("outcome", f.Outcome), slog.String("detail", f.Detail))
}

// accept puts events into the queue, as soon as it has room.
func (p *pass) accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	for try := 0; ; try++ {
		accepted, err := p.Queue.Accept(ctx, deliveries)
		if code := provenance.CodeOf(err); code != provenance.Full && code != provenance.Unavailable {
			return accepted, err
		}
		p.update(func(r *run) { r.Doing = "waits for room in the queue" })
		err = wait.For(ctx, min(p.Limits.backoff<<min(try, 12), p.Limits.backoffMax))
		p.update(func(r *run) { r.Doing = "" })
		if err != nil {
			return accepted, err
		}
	}
}

// pushed makes the events of a tag and its image, and before them those of the
// platform images of an index that are not recorded either. The facts in them
// are read back once more on the way to the ledger. An image that is gone by
// now is no finding: the next sweep sees what is.
func (p *pass) pushed(ctx context.Context, f *findings.Finding) ([]delivery.Delivery, error) {
	facts, err := p.manifest(ctx, f.Repository, f.Digest)
	switch code := provenance.CodeOf(err); {
	case code == provenance.NotFound:
		f.Kind = ""
		return nil, nil
	case err != nil:
		var other *findings.Finding
		if other, err = p.about(ctx, *f, err); err == nil {
			*f = *other
		}
		return nil, err
	}
	var out []delivery.Delivery
	for _, child := range facts.Children {
		one, err := p.child(ctx, *f, child)
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	if n := len(out); n > 0 {
		f.Detail = fmt.Sprintf("with %d platform images", n)
	}
	own, err := p.delivery(ctx, *f, push(f.Repository, f.Tag, f.Digest, facts), f.Digest)
	return append(out, own...), err
}

// child makes the event of a platform image that is in the repository and not
// recorded there. An index may name images that are not.
func (p *pass) child(ctx context.Context, f findings.Finding, d provenance.Digest) ([]delivery.Delivery, error) {
	var found bool
	var place state.Place
	err := p.View(ctx, func(r Index) (err error) {
		found, err = state.Read(r, state.PlaceKey(d, p.host, f.Repository), &place)
		return err
	})
	if err != nil || found && !place.Deleted {
		return nil, err
	}
	facts, err := p.manifest(ctx, f.Repository, d)
	if err != nil {
		if fatal(ctx, err) {
			return nil, err
		}
		return nil, nil
	}
	return p.delivery(ctx, f, push(f.Repository, "", d, facts), d)
}

func (p *pass) manifest(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
	return withRetries(ctx, p, func(ctx context.Context) (registry.Facts, error) {
		if err := p.request(ctx); err != nil {
			return registry.Facts{}, err
		}
		return p.reg.Reader.Manifest(ctx, repo, d)
	})
}

func push(repo provenance.Repository, tag provenance.Tag, d provenance.Digest, facts registry.Facts) provenance.Event {
	return provenance.Event{
		Action: provenance.Push, Repository: repo, Tag: tag, Digest: d, MediaType: facts.MediaType, ArtifactType: facts.ArtifactType, Size: facts.Size,
		Config: facts.Config, Subject: facts.Subject, Children: facts.Children,
	}
}

// delivery makes an event. Its id comes from what the ledger says about the tag
// and the image, and since when: the same difference found twice, by a sweep
// that was interrupted or by another replica, is one event, and a difference
// that comes again later is another.
func (p *pass) delivery(ctx context.Context, f findings.Finding, e provenance.Event, about provenance.Digest) ([]delivery.Delivery, error) {
	var since string
	err := p.View(ctx, func(r Index) error {
		var tag state.Tag
		if e.Tag != "" {
			if _, err := state.Read(r, state.TagKey(p.host, e.Repository, e.Tag), &tag); err != nil {
				return err
			}
		}
		at, err := lastChange(r, p.host, e.Repository, about)
		since = fmt.Sprintf("%d %s", tag.Moves, at)
		return err
	})
	parts := []string{string(p.host), e.Action.String(), string(e.Repository), string(e.Tag), e.Digest.String(), since}
	e.ID, e.Source, e.OccurredAt = provenance.NewEventID(Source, Source, parts...), Source, f.At
	return []delivery.Delivery{{Host: p.host, Connector: Source, Event: e, BodyHash: sha256.Sum256(e.ID[:]), ReceivedAt: f.At}}, err
}

// lastChange is where on the ledger the last event about an image of a
// repository stands; of acts, which may be many, a few are passed over.
func lastChange(r Index, host provenance.Host, repo provenance.Repository, d provenance.Digest) (string, error) {
	const looks = 20
	page := readmodel.Page{Size: readmodel.MaxPage, NewestFirst: true}
	for range looks {
		records, token, err := r.History(readmodel.HistoryFilter{Digest: d, Host: host, Repository: repo}, page)
		if err != nil {
			return "", err
		}
		for _, record := range records {
			switch record.Kind {
			case provenance.Push.String(), provenance.Delete.String():
				return fmt.Sprintf("%d/%d/%d", record.Block, record.Tx, record.Seq), nil
			}
		}
		if page.Token = token; token == "" {
			break
		}
	}
	return "", nil
}
