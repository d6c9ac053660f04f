package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/findings"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// maxSilent is how many requests in a row may be given up. After that it is
// the registry that does not answer, and the sweep waits for it.
const maxSilent = 3

// silentError ends a sweep: the registry does not answer at all.
type silentError struct{ cause error }

func (e *silentError) Error() string { return "the registry does not answer: " + e.cause.Error() }
func (e *silentError) Unwrap() error { return e.cause }

// fatal tells an error that ends the sweep from one that is about the thing looked at.
func fatal(ctx context.Context, err error) bool {
	var silent *silentError
	return ctx.Err() != nil || errors.As(err, &silent)
}

// scheduledPace is how much slower a sweep goes for which nobody waits.
const scheduledPace = 4

// request is asked before each request: it counts them, and keeps the rate.
func (p *pass) request(ctx context.Context) error {
	every := time.Second / time.Duration(p.Config.Rate)
	p.update(func(r *run) {
		r.Requests++
		if r.Scheduled {
			every *= scheduledPace
		}
	})
	p.pace.SetLimit(rate.Every(every)) // somebody may have come to wait for it
	return p.pace.Wait(ctx)
}

// withRetries puts a question to the registry again while there is no answer: a few
// times, or for long when nothing else was answered either.
func withRetries[T any](ctx context.Context, p *pass, question func(ctx context.Context) (T, error)) (T, error) {
	began, waits := time.Now(), false
	for try := 0; ; try++ {
		out, err := question(ctx)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if provenance.CodeOf(err) != provenance.Unavailable {
			p.silent = 0
			if waits {
				p.update(func(r *run) { r.Doing = "" })
			}
			return out, err
		}
		if p.silent >= maxSilent && time.Since(began) > p.Limits.patience {
			return out, &silentError{err}
		}
		if p.silent < maxSilent && try+1 >= p.Limits.tries {
			p.silent++
			return out, err
		}
		if p.silent >= maxSilent {
			waits = true
			p.update(func(r *run) { r.Doing = "waits for the registry: " + wait.Explain(err) })
		}
		if err := wait.For(ctx, min(p.Limits.backoff<<min(try, 12), p.Limits.backoffMax)); err != nil {
			return out, err
		}
	}
}

// about turns what the registry said instead of an answer into a finding. A
// fatal error stays one.
func (p *pass) about(ctx context.Context, f findings.Finding, err error) (*findings.Finding, error) {
	if fatal(ctx, err) {
		return nil, err
	}
	f.Kind, f.Detail = findings.Unreachable, wait.Explain(err)
	if provenance.CodeOf(err) == provenance.Invalid {
		f.Kind = findings.Unreadable
	}
	return &f, nil
}

// tag compares what a tag names at the registry with the ledger; nil: the same.
// The registry's word is good enough to say so. A difference is believed from
// bytes only.
func (p *pass) tag(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (*findings.Finding, error) {
	f := findings.Finding{Repository: repo, Tag: tag}
	d, err := withRetries(ctx, p, func(ctx context.Context) (provenance.Digest, error) {
		if err := p.request(ctx); err != nil {
			return provenance.Digest{}, err
		}
		return p.reg.Reader.Named(ctx, repo, tag)
	})
	if err != nil {
		return p.about(ctx, f, err)
	}
	var recorded state.Tag
	var place state.Place
	read := func() error {
		return p.View(ctx, func(r Index) error {
			recorded, place = state.Tag{}, state.Place{}
			if _, err := state.Read(r, state.TagKey(p.host, repo, tag), &recorded); err != nil || recorded.Digest.IsZero() {
				return err
			}
			_, err := state.Read(r, state.PlaceKey(recorded.Digest, p.host, repo), &place)
			return err
		})
	}
	if err := read(); err != nil {
		return nil, err
	}
	if d.IsZero() || d != recorded.Digest {
		if strings.HasPrefix(recorded.Digest.String(), "sha512:") && !d.IsZero() {
			return nil, nil // the bytes of a tag are hashed with sha256: the two do not compare
		}
		d, err = withRetries(ctx, p, func(ctx context.Context) (provenance.Digest, error) {
			if err := p.request(ctx); err != nil {
				return provenance.Digest{}, err
			}
			return p.reg.Reader.Resolve(ctx, repo, tag)
		})
		if code := provenance.CodeOf(err); code != "" && code != provenance.NotFound {
			return p.about(ctx, f, err)
		}
		if err != nil {
			d = provenance.Digest{}
		}
		if err := read(); err != nil { // it may have come in meanwhile
			return nil, err
		}
	}
	f.Digest, f.Recorded = d, recorded.Digest
	switch {
	case d.IsZero() && recorded.Digest.IsZero():
		return nil, nil
	case d.IsZero():
		f.Kind = findings.TagGone
	case recorded.Digest.IsZero():
		f.Kind = findings.Unrecorded
	case d != recorded.Digest:
		f.Kind = findings.Moved
	case place.Deleted:
		f.Kind = findings.Restored
	default:
		return nil, nil
	}
	return &f, nil
}

// image asks the registry for a recorded image and hashes what comes; nil:
// it is there, or not on the ledger any more.
func (p *pass) image(ctx context.Context, repo provenance.Repository, d provenance.Digest) (*findings.Finding, error) {
	f := findings.Finding{Repository: repo, Digest: d}
	got, err := withRetries(ctx, p, func(ctx context.Context) (provenance.Digest, error) {
		if err := p.request(ctx); err != nil {
			return provenance.Digest{}, err
		}
		return p.reg.Reader.Served(ctx, repo, d)
	})
	switch code := provenance.CodeOf(err); {
	case code == "" && got == d:
		return nil, p.proven(ctx, repo, d)
	case code == "":
		f.Kind, f.Detail = findings.OtherBytes, fmt.Sprintf("the registry sends bytes of %s for it", got)
	case code == provenance.NotFound:
		f.Kind = findings.ImageGone
	default:
		return p.about(ctx, f, err)
	}
	var place state.Place
	err = p.View(ctx, func(r Index) error {
		_, err := state.Read(r, state.PlaceKey(d, p.host, repo), &place)
		return err
	})
	if err != nil || place.Deleted {
		return nil, err
	}
	return &f, nil
}

// proven has an image proven that is there and was recorded by its digest alone.
func (p *pass) proven(ctx context.Context, repo provenance.Repository, d provenance.Digest) error {
	if p.Prove == nil || p.reg.Unread || p.dry() {
		return nil
	}
	var unproven bool
	err := p.View(ctx, func(r Index) (err error) {
		unproven, _, err = state.Unproven(r, p.host, repo, d)
		return err
	})
	if err == nil && unproven {
		p.Prove(ctx, p.host, repo, d)
	}
	return err
}

// compareAgain looks once more at what a finding is about.
func (p *pass) compareAgain(ctx context.Context, f findings.Finding) (*findings.Finding, error) {
	switch {
	case f.Tag != "":
		return p.tag(ctx, f.Repository, f.Tag)
	case f.Kind == findings.Unrecorded || f.Kind == findings.Restored:
		now, err := p.untagged(ctx, f.Repository, f.Digest)
		if now != nil {
			now.Detail = f.Detail
		}
		return now, err
	}
	return p.image(ctx, f.Repository, f.Digest)
}
