package index

import (
	"bytes"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// What stood under a key before is kept, so that a verdict can be asked for as of any
// height. Three kinds of keys have three ways:
//
// The keys of acts point at the row of versions with what they said before, and that at
// the one before it. A key that was written once has no row: that it was absent before
// follows from since. Nothing is sorted and no tree but that of the keys, which the write
// touches anyway, grows at random places.
//
// Of a place, which pushes write thousands at a time, the block that wrote it first is in
// the entry that counts its image; each change leaves a row of versions, found by an entry.
//
// What a tag named at a height is what the last event about it before that height said:
// nothing is kept beside the records there are.

// stored is a key's row, or a version's.
type stored struct {
	since uint64 // twice the block, and one more where it removed the key
	past  uint64 // row of versions, 0 for none
	value []byte // nil: there is no row
}

func (s stored) removed() bool { return s.value == nil || s.since&1 == 1 }

// before tells whether it stood at a height, that is whether a block below it wrote it.
func (s stored) before(height uint64) bool { return s.since>>1 < height }

// keptApart tells which keys have no versions of their own: those whose versions are
// kept in another way (place, tag), that are never changed (segment, journal), and that
// only find others (pages, directories and their runs) or decide nothing (parents).
func keptApart(objectType string) bool {
	switch objectType {
	case state.TypePlace, state.TypeTag, state.TypeSegment, state.TypeJournal, state.TypePage, state.TypeDirectory, state.TypeRun, state.TypeParents:
		return true
	}
	return false
}

func typeOf(key string) string {
	objectType, _, _ := strings.Cut(strings.TrimPrefix(key, "\x00"), "\x00")
	return objectType
}

// mirror writes a key as the transaction at hand left it, and keeps what it said before.
func (w *writer) mirror(write block.Write) error {
	now := stored{since: w.at.Block << 1, value: notNil(write.Value)}
	if keptApart(typeOf(write.Key)) {
		if write.Delete {
			now = stored{}
		}
		return w.put(write.Key, now)
	}
	if err := w.session.load([]string{write.Key}); err != nil {
		return err
	}
	old, err := w.get(write.Key)
	switch {
	case err != nil:
		return err
	case write.Delete && old.value == nil:
		return nil
	case write.Delete:
		now.since, now.value = now.since|1, []byte{}
	}
	switch {
	case old.value == nil:
		return w.put(write.Key, now)
	case old.removed() == now.removed() && bytes.Equal(old.value, now.value):
		return nil
	case old.since>>1 == w.at.Block:
		now.past = old.past // nobody sees what a block leaves behind half-way
		return w.put(write.Key, now)
	}
	if now.past, err = w.keep(old); err != nil {
		return err
	}
	return w.put(write.Key, now)
}

// keep adds a version, and returns its number. Its jump goes as far back as makes the
// way to any older one logarithmic (E. Myers, "An applicative random-access stack", 1983).
func (w *writer) keep(old stored) (number uint64, err error) {
	jump, depth := old.past, uint64(1)
	if old.past != 0 {
		var next, far uint64
		var a, b, c uint64
		if next, a, err = w.link(old.past); err != nil {
			return 0, err
		}
		depth = a + 1
		if next != 0 {
			if far, b, err = w.link(next); err != nil {
				return 0, err
			}
			if far != 0 {
				if _, c, err = w.link(far); err != nil {
					return 0, err
				}
			}
			if a-b == b-c {
				jump = far
			}
		}
	}
	number = w.version
	w.version++
	return number, w.exec(&w.st.version, number, old.since, old.past, jump, depth, old.value)
}

// link reads where a version jumps to, and how many are before it and itself.
func (w *writer) link(number uint64) (jump, depth uint64, err error) {
	found, err := w.row(&w.st.link, []any{number}, &jump, &depth)
	if err == nil && !found {
		err = errVersion(number)
	}
	return jump, depth, err
}

func errVersion(number uint64) error {
	return provenance.Errorf(provenance.Internal, "index: version %d is missing; run: waybill-gateway reindex", number)
}

// keepPlace keeps what a place said before the block at hand, where it said something.
func (w *writer) keepPlace(write block.Write, d provenance.Digest, a []string) error {
	old := w.before[write.Key]
	if old == nil || w.kept[write.Key] || bytes.Equal(old, write.Value) {
		return nil
	}
	w.kept[write.Key] = true
	id, err := w.repositoryOf(provenance.Host(a[1]), provenance.Repository(a[2]))
	if err != nil {
		return err
	}
	number := w.version
	w.version++
	w.add(versionKey(d, id, w.at.Block), numberValue(number))
	return w.exec(&w.st.version, number, w.at.Block<<1, uint64(0), uint64(0), uint64(1), old)
}

func versionKey(d provenance.Digest, repository, block uint64) []byte {
	return numbered(numbered(imagePrefix(ofVersions, d), repository), block)
}
