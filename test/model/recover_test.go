package model

import (
	"maps"
	"slices"
	"time"
)

// recover lets those who obey do what they can, where they are a majority, until
// an image of a repository is released to the last stage.
func (w *world) recover(rogues []string, image int) error {
	honest := slices.DeleteFunc(organisations(), func(o string) bool { return slices.Contains(rogues, o) })
	if len(honest) < majority {
		return nil // two of four can stop everything
	}
	const repo = twoRepo
	do := func(by person, a act) error {
		a.By, a.Wait = by, 7*time.Second
		return w.do(a)
	}
	each := func(a act) error {
		for _, org := range honest {
			if err := do(person{org, "admin"}, a); err != nil {
				return err
			}
		}
		return nil
	}
	w.drawers = map[int]kept{}
	if err := w.do(act{Wait: 3 * time.Minute, By: reader, Do: "commit"}); err != nil {
		return err
	}
	if err := each(act{Do: "proposal:Open", Text: "policy", N: recovery}); err != nil {
		return err
	}
	owner := w.owner(repo)
	if !slices.Contains(honest, owner) {
		owner = honest[0]
		if err := each(act{Do: "proposal:Open", Text: "registry", Repo: repo, Lie: owner}); err != nil {
			return err
		}
	}
	if err := do(person{owner, "reserve-gateway"}, act{Do: "record:Segment", Repo: repo, Image: image}); err != nil {
		return err
	}
	for _, st := range []string{staging, production} {
		s := subject{repo, image, st}
		if err := w.clear(honest, s, each, do); err != nil {
			return err
		}
		askers := []string{honest[0], honest[1], honest[2]}
		asker := person{askers[0], "reserve"}
		if err := do(asker, about(asker, "promotion:Request", s)); err != nil {
			return err
		}
		for _, org := range honest {
			by := person{org, "reserve2"}
			if err := do(by, about(by, "promotion:Approve", s)); err != nil {
				return err
			}
		}
		if err := do(asker, about(asker, "release:Release", s)); err != nil {
			return err
		}
		if err := w.agree(s); err != nil {
			return err
		}
		if v := w.judge(s, w.now); v.answer != "allowed" {
			return diverge("those who obey cannot release %v: it is %s %v", s, v.answer, v.rules)
		}
		if err := w.do(act{Wait: 11 * time.Minute, By: reader, Do: "commit"}); err != nil {
			return err
		}
	}
	return nil
}

// clear lifts what keeps a subject from being promoted: holds by votes, debts by reviews.
func (w *world) clear(honest []string, s subject, each func(act) error, do func(person, act) error) error {
	for range 3 {
		for _, image := range slices.Sorted(maps.Keys(w.holds)) {
			holds := w.holds[image]
			for _, org := range organisations() {
				h := holds[org]
				if h == nil || h.lifted {
					continue
				}
				if f := w.facts(s, w.now); !slices.Contains(append(append([]int{s.image}, f.carried...), w.about(s)...), image) {
					continue
				}
				if err := each(act{Do: "proposal:Open", Text: "lift", Image: image, Lie: org}); err != nil {
					return err
				}
			}
		}
		v := w.judge(s, w.now)
		if owed := v.f.own != nil && v.f.own.debt != nil && !w.paid(v.f.own.debt); !owed && v.answer != "quarantined" {
			return nil
		}
		for _, org := range honest {
			by := person{org, "reserve"}
			for _, image := range append([]int{s.image}, w.facts(s, w.now).carried...) {
				if err := do(by, about(by, "release:Review", subject{s.repo, image, s.stage})); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *world) about(s subject) []int {
	listed, _ := w.lists(s.repo, s.image)
	for _, c := range listed {
		if index, ok := w.carriers[subject{s.repo, c, s.stage}]; ok {
			listed = append(listed, index)
		}
	}
	return listed
}
