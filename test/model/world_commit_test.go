package model

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

func (w *world) commitDrawer(n int) error {
	k, ok := w.drawers[n]
	if !ok {
		return nil
	}
	delete(w.drawers, n)
	return w.commit(k)
}

// endorsers are whose peers signed.
func (a act) endorsers() []string {
	return slices.DeleteFunc(organisations(), func(o string) bool { return o == a.Without })
}

func (w *world) commit(k kept) error {
	if w.rights {
		if err := w.rightful(k); err != nil {
			return err
		}
	}
	var gate bool
	if k.a.Without != "" {
		gate = w.gated(k)
	}
	if err := w.ledger.Commit(k.e, k.a.endorsers()); err != nil {
		w.count.stale[k.a.Do]++
		return nil //nolint:nilerr // a peer marks it invalid, and that is all
	}
	if gate {
		return diverge("%v: written without the peers of %s, whom the stage names", k.a, k.a.Without)
	}
	if len(k.e.Writes) == 0 && k.a.Do != "proposal:Open" && k.a.Do != "evidence:Submit" && k.a.Do != "waiver:Request" {
		w.count.accepted[k.a.Do+" (nothing new)"]++
	} else {
		w.count.accepted[k.a.Do]++
	}
	w.wall = w.now
	done := k.fn()
	if done == nil {
		return diverge("%v was committed at %s, endorsed at %s: by then the model refuses it", k.a, w.now.Format(time.TimeOnly), k.at.Format(time.TimeOnly))
	}
	before := maps.Clone(w.releases)
	k.p.payload = k.e.Payload
	done()
	return w.after(k, before)
}

// gated: what it writes is a release to a stage that names an organisation whose
// peers have not signed.
func (w *world) gated(k kept) bool {
	if k.a.Do == "release:Review" {
		return false // it writes what it has looked at beside the release, and releases nothing
	}
	if st := w.governing(k.a.Repo).stage(k.a.Stage); st != nil {
		orgs := slices.Clone(st.orgs)
		if st.witnesses != nil {
			orgs = append(orgs, st.witnesses.orgs...)
		}
		if slices.Contains(orgs, k.a.Without) {
			for key := range k.e.Writes {
				if strings.HasPrefix(key, "\x00released\x00") {
					return true
				}
			}
		}
	}
	return false
}

// after looks at what an act came to.
func (w *world) after(k kept, before map[subject]*release) error {
	if k.a.Repo != "" && k.a.Image >= 0 {
		w.dirty[subject{k.a.Repo, k.a.Image, ""}] = true
	}
	if k.a.Stage != "" && k.a.Repo != "" && k.a.Image >= 0 {
		s := subject{k.a.Repo, k.a.Image, k.a.Stage}
		if strings.HasPrefix(k.a.Do, "promotion:") || strings.HasPrefix(k.a.Do, "release:") && k.a.Do != "release:Resume" {
			if err := w.same(s, k.e.Payload, w.judge(s, k.at), false); err != nil {
				return diverge("%v answered: %v", k.a, err)
			}
		}
		if r := w.releases[s]; r != nil && r != before[s] {
			w.count.accepted["= released to "+s.stage]++
			if r.first != r.at {
				w.count.accepted["= rolled back"]++
			}
			if r.debt != nil {
				w.count.accepted["= by break-glass"]++
			}
			if err := w.physical(s, r); err != nil {
				return diverge("%v: %v", k.a, err)
			}
			if r.debt != nil {
				var view struct {
					Hash string `json:"hash"`
				}
				e := w.endorse(reader, w.now, nil, "release:Get", host, s.repo, digest(s.image), s.stage)
				if err := json.Unmarshal(e.Payload, &view); err != nil {
					return diverge("%v: release:Get: %s", k.a, e.Message)
				}
				r.hash = view.Hash
			}
		}
	}
	return nil
}
