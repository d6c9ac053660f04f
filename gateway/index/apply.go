package index

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Apply adds the next block. Its rows, the new height and the block's hash are
// one SQL transaction: a crash leaves the block applied whole or not at all,
// and the follower resumes at Height.
//
// It is a Conflict error when the block is not the next one (the cause is then
// ErrMoved; one that is already in the index is refused too), or does not
// continue the chain the index holds: the peer serves another channel, or was
// rolled back. Internal means that a record cannot be read, as when the
// chaincode is newer than this program; nothing of the block is kept then.
// Unavailable means that the server with the index is not there, or did not say
// whether it committed: ask Height and go on from there.
func (x *Index) Apply(ctx context.Context, b block.Block) error {
	return x.ApplyBatch(ctx, []block.Block{b})
}

// ErrMoved is the cause of a Conflict where the index stands at another height
// than the caller thought: another replica applied the block, or the index was
// rebuilt. Ask Height and go on from there.
var ErrMoved = errors.New("the index stands elsewhere")

// ApplyBatch applies consecutive blocks in one SQL transaction, for catching
// up. The result is that of applying them one by one, all or none.
func (x *Index) ApplyBatch(ctx context.Context, blocks []block.Block) error {
	all := make([]Prepared, len(blocks))
	for i, b := range blocks {
		all[i] = Prepare(b)
	}
	return x.ApplyPrepared(ctx, all)
}

// ApplyPrepared is ApplyBatch of blocks that were prepared.
//
// Of several replicas one holds the row of meta from head to commit; the others
// wait for it and then find their block applied.
func (x *Index) ApplyPrepared(ctx context.Context, blocks []Prepared) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	// What is kept is that of the height the last transaction left, and of no other:
	// whoever fails has nothing.
	kept := x.kept
	x.kept = nil
	// Not cancelled half-way: a batch is short, and a driver that watches for
	// cancellation costs a goroutine per row.
	tx, err := x.backend.begin(context.WithoutCancel(ctx))
	if err != nil {
		return sqldb.Wrap(err, "index %s", x.name)
	}
	defer tx.rollback()
	h, err := tx.head()
	if err != nil {
		return sqldb.Wrap(err, "index %s: height", x.name)
	}
	if err := fits(h.version); err != nil {
		return provenance.Wrap(provenance.Conflict, err, "index %s", x.name)
	}
	w := &writer{session: tx, st: x.st, memory: kept}
	if kept == nil || kept.height != h.height || !bytes.Equal(kept.hash, h.hash) {
		if w.memory, err = w.remember(); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if b.Number != h.height {
			return provenance.Wrap(provenance.Conflict, ErrMoved, "block %d: the index holds %d blocks and takes block %d next", b.Number, h.height, h.height)
		}
		if h.height > 0 && !bytes.Equal(b.PreviousHash, h.hash) {
			return provenance.Errorf(provenance.Conflict,
				"block %d follows block hash %x, the index holds %x: the peer serves another channel or was rolled back", b.Number, b.PreviousHash, h.hash)
		}
		if b.err != nil {
			return b.err
		}
		if err := w.block(b); err != nil {
			return err
		}
		h.height, h.hash = b.Number+1, b.Hash
	}
	if err := w.storeRuns(); err != nil {
		return err
	}
	if err := tx.setHead(h.height, notNil(h.hash)); err != nil {
		return err
	}
	if err := tx.commit(); err != nil {
		return sqldb.Wrap(err, "index %s: commit block %d", x.name, h.height-1)
	}
	w.height, w.hash = h.height, bytes.Clone(h.hash)
	x.kept = w.memory
	return nil
}

// memory is what a writer knows of the tables from one transaction to the next.
type memory struct {
	height       uint64 // where it is true, with the hash
	hash         []byte
	runs         *runs
	record       uint64 // the number of the next one
	segment      uint64
	repository   uint64
	version      uint64
	repositories map[[2]string]repository
	tags         map[string]provenance.Digest // what those name that moved of late
}

type repository struct {
	id     uint64
	tagged bool
}

// What a writer remembers is bounded; what is forgotten is read again.
const (
	maxRepositories = 20_000
	maxMoved        = 20_000
)

// remember reads what the writer goes on from.
func (w *writer) remember() (*memory, error) {
	m := &memory{repositories: map[[2]string]repository{}, tags: map[string]provenance.Digest{}}
	for st, next := range map[*statement]*uint64{&w.st.lastRecord: &m.record, &w.st.lastSegment: &m.segment, &w.st.lastRepository: &m.repository, &w.st.lastVersion: &m.version} {
		if _, err := w.row(st, nil, next); err != nil {
			return nil, err
		}
		*next++
	}
	var err error
	m.runs, err = w.loadRuns()
	return m, err
}

// writer applies blocks inside one SQL transaction.
type writer struct {
	session
	*memory
	st      *statements
	at      Position // the transaction at hand
	tx      preparedTx
	first   uint64            // number of its first record
	told    bool              // it has its row
	before  map[string][]byte // what the keys said that it is compared with
	entries []entry           // of the block
	kept    map[string]bool   // the places of which the block has kept what stood there before
}

func (w *writer) block(b Prepared) error {
	if len(b.Organisations) > 0 {
		if err := w.organisations(b.Organisations); err != nil {
			return err
		}
	}
	w.entries, w.kept = nil, map[string]bool{}
	for _, t := range b.txs {
		if t.Function == importFunction {
			var err error
			if t, err = w.unknown(t); err != nil {
				return err
			}
		}
		w.at, w.tx, w.told = Position{Block: b.Number, Tx: t.Index}, t, false
		// Records first: they look at the state before this transaction.
		if err := w.load(); err != nil {
			return err
		}
		for _, write := range t.records {
			if err := w.derive(write); err != nil {
				return provenance.Wrap(provenance.CodeOf(err), err, "block %d transaction %s", b.Number, t.ID)
			}
		}
		for _, write := range t.Writes {
			if err := w.mirror(write); err != nil {
				return err
			}
		}
		w.rememberTags()
	}
	return w.addRun(w.entries)
}

// rememberTags notes what the tags name that the transaction moved: those that move
// often do so many times in one segment, which says what they named last only.
func (w *writer) rememberTags() {
	for _, write := range w.tx.Writes { // by whatever else there may be one day
		if inDirectory(write.Key) {
			delete(w.tags, write.Key)
		}
	}
	for key, tag := range w.tx.tags {
		if w.tx.fresh[key] && w.tx.moves[key].steps < 2 {
			delete(w.tags, key)
			continue
		}
		if len(w.tags) >= maxMoved {
			clear(w.tags)
		}
		w.tags[key] = tag.Digest
	}
}

// load reads what derive compares with: what stood under the keys that change.
func (w *writer) load() error {
	keys := slices.DeleteFunc(w.tx.needed(), func(key string) bool {
		_, known := w.tags[key]
		return known
	})
	w.before = make(map[string][]byte, len(keys))
	if len(keys) == 0 {
		return nil
	}
	values, err := state.NewDirectory(sessionReader{w.session.keys}).Get(keys...)
	for i, value := range values {
		w.before[keys[i]] = value
	}
	return err
}

// sessionReader reads keys as the transaction left them.
type sessionReader struct{ keys }

// Get implements state.Reader.
func (r sessionReader) Get(keys ...string) ([][]byte, error) {
	if err := r.load(keys); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		s, err := r.get(key)
		if err != nil {
			return nil, err
		}
		if !s.removed() {
			values[i] = s.value
		}
	}
	return values, nil
}

// transaction keeps who signed the transaction at hand, and when, once
// something is told of it: the ledger's clock moves every minute for ever, and
// tells nothing.
func (w *writer) transaction() error {
	if w.told {
		return nil
	}
	w.told, w.first = true, w.memory.record
	return w.exec(&w.st.tx, w.at.Block, w.at.Tx, w.tx.ID, w.tx.At.UnixNano(), w.tx.Creator.MSP, w.tx.Creator.Name, w.first)
}

// derive adds the records that a write stands for.
func (w *writer) derive(write block.Write) error {
	objectType, attributes, ok := state.SplitKey(write.Key)
	if !ok {
		return nil
	}
	if objectType == state.TypeJournal {
		return w.segment(write.Key, provenance.Host(attributes[1]), w.tx.Events[write.Key])
	}
	return w.deriveRecord(objectType, write)
}

// repositoryOf is the number of a repository, or of a registry; 0 of neither.
func (w *writer) repositoryOf(host provenance.Host, repo provenance.Repository) (uint64, error) {
	r, err := w.knownRepository(host, repo)
	return r.id, err
}

func (w *writer) knownRepository(host provenance.Host, repo provenance.Repository) (r repository, err error) {
	if host == "" && repo == "" {
		return r, nil
	}
	name := [2]string{string(host), string(repo)}
	r, known := w.repositories[name]
	if known {
		return r, nil
	}
	if len(w.repositories) >= maxRepositories {
		clear(w.repositories)
	}
	tagged := 0
	found, err := w.row(&w.st.findRepository, []any{name[0], name[1]}, &r.id, &tagged)
	if err == nil && !found {
		r.id = w.repository
		w.repository++
		err = w.exec(&w.st.repository, r.id, name[0], name[1])
	}
	r.tagged = tagged != 0
	w.repositories[name] = r
	return r, err
}

// tagged notes that a repository has tags.
func (w *writer) tagged(host provenance.Host, repo provenance.Repository) error {
	r, err := w.knownRepository(host, repo)
	if err != nil || r.tagged {
		return err
	}
	r.tagged = true
	w.repositories[[2]string{string(host), string(repo)}] = r
	return w.exec(&w.st.tagged, r.id)
}

func (w *writer) add(key, value []byte) { w.entries = append(w.entries, entry{key, value}) }

// count adds to what is counted of an image in a repository.
func (w *writer) count(d provenance.Digest, host provenance.Host, repo provenance.Repository, v imageValue) error {
	id, err := w.repositoryOf(host, repo)
	w.add(numbered(imagePrefix(ofImage, d), id), v.encode())
	return err
}

func (w *writer) organisations(organisations []block.Organisation) error {
	if err := w.exec(&w.st.dropOrganisations); err != nil {
		return err
	}
	for _, o := range organisations {
		b, err := json.Marshal(o)
		if err != nil {
			return provenance.Wrap(provenance.Internal, err, "organisation %s", o.MSPID)
		}
		if err := w.exec(&w.st.organisation, o.MSPID, b); err != nil {
			return err
		}
	}
	return nil
}

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
