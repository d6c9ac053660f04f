package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/findings"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// pass is one sweep of one registry, in one goroutine: first each
// repository's tags, then its recorded images; differences are set aside and
// looked at again when their grace is over.
type pass struct {
	*Sweeper
	host provenance.Host
	reg  *Registry
	pace *rate.Limiter // of requests, one at a time

	silent   int // requests in a row that got no answer
	unlisted int // lists of referrers that could not be had
}

// update changes the sweep's state, which the API reads meanwhile.
func (p *pass) update(change func(r *run)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.state(p.host).Run)
	p.dirty = true
}

// place returns how far the sweep is.
func (p *pass) place() (at position) {
	p.update(func(r *run) { at = r.Place })
	return at
}

// maxNotes is how many notes of a sweep are kept. The rest stands in the log.
const maxNotes = 50

func (p *pass) note(format string, args ...any) {
	text, kept := provenance.CleanText(fmt.Sprintf(format, args...), wait.MaxReason), true
	p.update(func(r *run) {
		const more = "there is more to note than is kept here: the gateway's log has it"
		switch n := len(r.Notes); {
		case slices.Contains(r.Notes, text):
		case n < maxNotes-1:
			r.Notes = append(r.Notes, text)
		default:
			kept = false
			if n < maxNotes {
				r.Notes = append(r.Notes, more)
			}
		}
	})
	if !kept {
		p.Log.Warn("sweep note", slog.String("registry", string(p.host)), slog.String("note", text)) //nolint:sloglint // no request is behind it
	}
}

// pass goes through the registry, from where it stands. Its error ends this
// sweep only.
func (p *pass) pass(ctx context.Context) error {
	if err := p.caughtUp(ctx, time.Now()); err != nil {
		return err
	}
	repos, listed, err := p.repositories(ctx)
	if err != nil {
		return err
	}
	at := p.place()
	for i, repo := range repos {
		p.update(func(r *run) { r.Done, r.Total = i, len(repos) })
		if repo < at.Repository || repo == at.Repository && at.Phase == phaseDone {
			continue
		}
		if repo != at.Repository {
			at = position{Repository: repo}
			p.update(func(r *run) { r.Place = at })
		}
		if err := p.repository(ctx, repo, at, listed); err != nil {
			return err
		}
		p.update(func(r *run) { r.Place = position{Repository: repo, Phase: phaseDone} })
		p.save(ctx, false)
	}
	p.update(func(r *run) { r.Done = len(repos) })
	return p.confirm(ctx, 0)
}

// repositories returns what to go through, sorted: what the configuration
// lists, or else what the registry lists and the ledger knows. listed is the
// registry's whole list, nil where there is none to rely on.
func (p *pass) repositories(ctx context.Context) (repos []provenance.Repository, listed map[provenance.Repository]bool, err error) {
	ours, err := p.ours(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(p.reg.Repositories) > 0 {
		named := slices.Compact(slices.Sorted(slices.Values(p.reg.Repositories)))
		repos = slices.DeleteFunc(slices.Clone(named), func(repo provenance.Repository) bool { return !ours(repo) })
		if n := len(named) - len(repos); n > 0 {
			p.note("%d of the repositories that registries[].repositories names are not this organisation's: they were not looked at", n)
		}
		return repos, nil, nil
	}
	all := map[provenance.Repository]bool{}
	p.silent = maxSilent // without this answer there is no sweep
	catalogue, err := withRetries(ctx, p, func(ctx context.Context) (registry.Listing[provenance.Repository], error) {
		return p.reg.Reader.Catalogue(ctx, p.request)
	})
	switch provenance.CodeOf(err) {
	case "":
		if catalogue.Complete {
			listed = map[provenance.Repository]bool{}
		} else {
			p.note("the catalogue is too long, or cut short by the registry: %d repositories of it were looked at", len(catalogue.Names))
		}
		if catalogue.Odd > 0 {
			p.note("%d names in the catalogue are no repository's", catalogue.Odd)
		}
		for _, repo := range catalogue.Names {
			if listed != nil {
				listed[repo] = true
			}
			if p.reg.Watched(repo) && ours(repo) {
				all[repo] = true
			}
		}
	case provenance.NotFound, provenance.Forbidden:
		p.note("the registry shows no catalogue: only repositories that are on the ledger were looked at; registries[].repositories can name others")
	default:
		return nil, nil, err
	}
	err = p.View(ctx, func(r Index) error {
		entries, err := r.Scan(p.Limits.recorded+1, state.TypeTag, string(p.host))
		tags, largest := map[provenance.Repository]int{}, provenance.Repository("")
		for _, e := range entries {
			if _, attributes, ok := state.SplitKey(e.Key); ok && len(attributes) == 3 {
				repo := provenance.Repository(attributes[1])
				if tags[repo]++; tags[repo] > tags[largest] {
					largest = repo
				}
				all[repo] = all[repo] || ours(repo)
			}
		}
		maps.DeleteFunc(all, func(_ provenance.Repository, swept bool) bool { return !swept })
		if len(entries) > p.Limits.recorded {
			p.note("more than %d tags are on the ledger, %d of them of %s: repositories that vanished whole may be missed", p.Limits.recorded, tags[largest], largest)
		}
		return err
	})
	return slices.Sorted(maps.Keys(all)), listed, err
}

// ours tells the repositories whose events this organisation records: a registry
// may have many owners, and what another one's gateways do not record is not ours
// to find.
func (p *pass) ours(ctx context.Context) (func(provenance.Repository) bool, error) {
	var record state.Registry
	err := p.View(ctx, func(r Index) error {
		record = state.Registry{}
		_, err := state.Read(r, state.RegistryKey(p.host), &record)
		return err
	})
	return func(repo provenance.Repository) bool {
		claim, ok := record.Claim(repo)
		return ok && claim.Owner == p.MSP
	}, err
}

// repository goes through one repository.
func (p *pass) repository(ctx context.Context, repo provenance.Repository, at position, listed map[provenance.Repository]bool) error {
	if at.Phase == "" {
		seen, err := p.tags(ctx, repo, at.After, listed)
		if err != nil || !seen {
			return err
		}
		at = position{Repository: repo, Phase: phaseImages}
		p.update(func(r *run) { r.Place = at })
	}
	images, err := p.recordedImages(ctx, repo)
	if err != nil {
		return err
	}
	for _, d := range images {
		if d.String() <= at.After {
			continue
		}
		f, err := p.image(ctx, repo, d)
		if err != nil {
			return err
		}
		if f == nil {
			if err := p.referrers(ctx, repo, d); err != nil {
				return err
			}
		}
		if err := p.compared(ctx, f, func(r *run) {
			r.Images++
			r.Place.After = d.String()
		}); err != nil {
			return err
		}
	}
	return nil
}

// tags looks at every tag that the registry lists or the ledger knows. seen is
// false where the registry does not show the repository to us, which does not
// mean that it is gone: registries say "unknown" to who may not look as well.
func (p *pass) tags(ctx context.Context, repo provenance.Repository, after string, listed map[provenance.Repository]bool) (seen bool, err error) {
	tags, err := p.recordedTags(ctx, repo)
	if err != nil {
		return false, err
	}
	listing, err := withRetries(ctx, p, func(ctx context.Context) (registry.Listing[provenance.Tag], error) {
		return p.reg.Reader.Tags(ctx, repo, p.request)
	})
	switch code := provenance.CodeOf(err); {
	case fatal(ctx, err):
		return false, err
	case code == "":
		if !listing.Complete {
			p.note("the tags of %s are too many, or cut short by the registry: %d of them were looked at", repo, len(listing.Names))
		}
		for _, tag := range listing.Names {
			tags[tag] = true
		}
	case code == provenance.NotFound && (listed != nil || len(tags) == 0):
		// Gone whole, or without a tag: what was recorded is looked at one by one.
	case code == provenance.NotFound:
		return false, p.conclude(ctx, findings.Finding{Kind: findings.Hidden, Repository: repo, Detail: "tags are recorded, and the registry says that there is no such repository: are the gateway's credentials good for it?"})
	case code == provenance.Unavailable:
		return false, p.conclude(ctx, findings.Finding{Kind: findings.Unreachable, Repository: repo, Detail: wait.Explain(err)})
	default:
		return false, p.conclude(ctx, findings.Finding{Kind: findings.Unreadable, Repository: repo, Detail: wait.Explain(err)})
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		if string(tag) <= after {
			continue
		}
		f, err := p.tag(ctx, repo, tag)
		if err != nil {
			return false, err
		}
		if err := p.compared(ctx, f, func(r *run) {
			r.Tags++
			r.Place.After = string(tag)
		}); err != nil {
			return false, err
		}
	}
	return true, nil
}

// compared notes that something was looked at, and what was found there.
func (p *pass) compared(ctx context.Context, f *findings.Finding, passed func(r *run)) error {
	if f != nil && f.Kind == findings.Unreachable {
		if err := p.conclude(ctx, *f); err != nil {
			return err
		}
		f = nil
	}
	p.update(func(r *run) {
		passed(r)
		if f != nil {
			r.Suspects = append(r.Suspects, suspect{Finding: *f, Seen: time.Now()})
		}
	})
	p.save(ctx, false)
	return p.confirm(ctx, p.Limits.suspects)
}

// recordedTags returns the tags of a repository that name something on the ledger.
func (p *pass) recordedTags(ctx context.Context, repo provenance.Repository) (map[provenance.Tag]bool, error) {
	tags := map[provenance.Tag]bool{}
	err := p.View(ctx, func(r Index) error {
		entries, err := r.Scan(p.Limits.recorded, state.TypeTag, string(p.host), string(repo))
		if err != nil {
			return err
		}
		if len(entries) == p.Limits.recorded {
			p.note("more than %d tags of %s are on the ledger: of those that vanished some may be missed", p.Limits.recorded, repo)
		}
		for _, e := range entries {
			_, attributes, ok := state.SplitKey(e.Key)
			var record state.Tag
			if err := state.Decode(e.Value, &record); err != nil {
				return err
			}
			if ok && len(attributes) == 3 && !record.Digest.IsZero() {
				tags[provenance.Tag(attributes[2])] = true
			}
		}
		return nil
	})
	return tags, err
}

// recordedImages returns the images that the ledger says are in a repository,
// sorted. They are found by the repository's pushes: a place's key opens with
// the image, so that places are no help here.
func (p *pass) recordedImages(ctx context.Context, repo provenance.Repository) ([]provenance.Digest, error) {
	seen := map[provenance.Digest]bool{}
	for page := (readmodel.Page{Size: readmodel.MaxPage}); ; {
		err := p.View(ctx, func(r Index) error {
			records, token, err := r.History(readmodel.HistoryFilter{Host: p.host, Repository: repo}, page)
			if page.Token = token; err != nil {
				return err
			}
			var keys []string
			var digests []provenance.Digest
			for _, record := range records {
				if _, known := seen[record.Digest]; record.Kind == provenance.Push.String() && !known {
					seen[record.Digest] = false
					keys, digests = append(keys, state.PlaceKey(record.Digest, p.host, repo)), append(digests, record.Digest)
				}
			}
			values, err := r.Get(keys...)
			if err != nil {
				return err
			}
			for i, value := range values {
				var place state.Place
				if value == nil {
					continue
				}
				if err := state.Decode(value, &place); err != nil {
					return err
				}
				seen[digests[i]] = !place.Deleted
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(seen) > p.Limits.recorded {
			p.note("more than %d images of %s are on the ledger: the newer ones were not looked at", p.Limits.recorded, repo)
			break
		}
		if page.Token == "" {
			break
		}
	}
	var out []provenance.Digest
	for d, there := range seen {
		if there {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b provenance.Digest) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}
