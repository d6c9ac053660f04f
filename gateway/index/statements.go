package index

import (
	"slices"
	"strings"
)

// The statements both databases run on the mirror of the keys and on meta.
const (
	firstHead  = `INSERT INTO meta (one, version, height, hash) VALUES (1, ?, 0, x'')`
	updateHead = `UPDATE meta SET height = ?, hash = ?`
	getOne     = `SELECT since, past, value FROM kv WHERE key = ?`
	putOne     = `INSERT INTO kv (key, since, past, value) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET since = excluded.since, past = excluded.past, value = excluded.value`
	dropOne    = `DELETE FROM kv WHERE key = ?`
)

// getMany reads n keys.
func getMany(n int) string {
	return `SELECT key, since, past, value FROM kv WHERE key IN (?` + strings.Repeat(`, ?`, n-1) + `)`
}

// getSizes are the numbers of values that a prepared list takes: a verdict makes
// a dozen reads of one to some fifty keys.
func getSizes() []int { return []int{1, 8, 64, maxVariables} }

func sizeFor(n int) int {
	sizes := getSizes()
	return sizes[slices.IndexFunc(sizes, func(size int) bool { return size >= n })]
}

// among ends a query with a list of so many values.
func among(query string, n int) string { return query + `(?` + strings.Repeat(`, ?`, n-1) + `)` }

// filled is the values of a list, the last of which fills the rest.
func filled[T any](values []T) []any {
	all := make([]any, sizeFor(len(values)))
	for i := range all {
		all[i] = values[min(i, len(values)-1)]
	}
	return all
}

// askedOften are the questions whose text is always the same.
func askedOften() []string {
	all := []string{selectRuns, selectStarts, selectAfter, selectBefore, selectRepository, selectVersion}
	for _, n := range getSizes() {
		all = append(all, among(selectRecords, n), among(selectSegments, n))
	}
	return all
}

// statement is one of Apply's; dollars is its text for PostgreSQL.
type statement struct {
	text, dollars string
	gathers       bool // one row of a table that nothing is read of before the transaction's head is set
}

// statements are Apply's: a block of a busy channel writes thousands of rows.
type statements struct {
	tx, record, lastRecord, segment, lastSegment                                             statement
	repository, findRepository, lastRepository, tagged                                       statement
	version, link, lastVersion                                                               statement
	nextRun, putRun, dropRun, floorChunk, nextChunk, putChunk, trimChunks, dropChunks        statement
	promotion, proposal, release, debt, request, endRequest, dropOrganisations, organisation statement
}

func (s *statements) all() []*statement {
	return []*statement{
		&s.tx, &s.record, &s.lastRecord, &s.segment, &s.lastSegment,
		&s.repository, &s.findRepository, &s.lastRepository, &s.tagged,
		&s.version, &s.link, &s.lastVersion,
		&s.nextRun, &s.putRun, &s.dropRun, &s.floorChunk, &s.nextChunk, &s.putChunk, &s.trimChunks, &s.dropChunks,
		&s.promotion, &s.proposal, &s.release, &s.debt, &s.request, &s.endRequest, &s.dropOrganisations, &s.organisation,
	}
}

func applying() *statements {
	s := &statements{
		tx: statement{text: `INSERT INTO txs (block, tx, id, at, msp, name, first) VALUES (?, ?, ?, ?, ?, ?, ?)`},
		record: statement{text: `INSERT INTO records (number, block, tx, repository, kind, tag, digest, previous, stage, media_type, actor, occurred_at, detail, record)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, gathers: true},
		// Numbered by hand: an index that is rebuilt must come to the same, and a server's counter leaves gaps.
		lastRecord:     statement{text: `SELECT number FROM records ORDER BY number DESC LIMIT 1`},
		segment:        statement{text: `INSERT INTO segments (number, block, tx, host, key) VALUES (?, ?, ?, ?, ?)`},
		lastSegment:    statement{text: `SELECT number FROM segments ORDER BY number DESC LIMIT 1`},
		repository:     statement{text: `INSERT INTO repositories (id, host, repository, tagged) VALUES (?, ?, ?, 0)`},
		findRepository: statement{text: `SELECT id, tagged FROM repositories WHERE host = ? AND repository = ?`},
		lastRepository: statement{text: `SELECT id FROM repositories ORDER BY id DESC LIMIT 1`},
		tagged:         statement{text: `UPDATE repositories SET tagged = 1 WHERE id = ?`},
		version:        statement{text: `INSERT INTO versions (number, since, past, jump, depth, value) VALUES (?, ?, ?, ?, ?, ?)`},
		link:           statement{text: `SELECT jump, depth FROM versions WHERE number = ?`},
		lastVersion:    statement{text: `SELECT number FROM versions ORDER BY number DESC LIMIT 1`},
		nextRun:        statement{text: `SELECT id, entries, target, upto, credit FROM runs WHERE id > ? ORDER BY id LIMIT 1`},
		putRun: statement{text: `INSERT INTO runs (id, entries, target, upto, credit) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET entries = excluded.entries, target = excluded.target, upto = excluded.upto, credit = excluded.credit`},
		dropRun:    statement{text: `DELETE FROM runs WHERE id = ?`},
		floorChunk: statement{text: `SELECT first, data FROM chunks WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1`},
		nextChunk:  statement{text: selectAfter},
		putChunk:   statement{text: `INSERT INTO chunks (run, first, data) VALUES (?, ?, ?)`},
		trimChunks: statement{text: `DELETE FROM chunks WHERE run = ? AND first < (SELECT f.first FROM chunks f WHERE f.run = ? AND f.first <= ? ORDER BY f.first DESC LIMIT 1)`},
		dropChunks: statement{text: `DELETE FROM chunks WHERE run = ?`},
		// The position stays that of the first request, so that pages do not shift.
		promotion: statement{text: `INSERT INTO promotions (key, block, tx, seq, stage, host, repository, digest, status, at, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET status = excluded.status, at = excluded.at, record = excluded.record`},
		proposal: statement{text: `INSERT INTO proposals (key, block, tx, seq, status, record) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET status = excluded.status, record = excluded.record`},
		// The last release is what comes first where releases are listed.
		release: statement{text: `INSERT INTO releases (key, block, tx, seq, record) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET block = excluded.block, tx = excluded.tx, seq = excluded.seq, record = excluded.record`},
		debt: statement{text: `UPDATE releases SET record = ? WHERE key = ?`},
		request: statement{text: `INSERT INTO waiting (key, id, kind, msp, since, until) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key, id) DO UPDATE SET msp = excluded.msp, since = excluded.since, until = excluded.until`},
		endRequest:        statement{text: `DELETE FROM waiting WHERE key = ? AND id = ?`},
		dropOrganisations: statement{text: `DELETE FROM organisations`},
		organisation:      statement{text: `INSERT INTO organisations (msp, record) VALUES (?, ?)`},
	}
	for _, one := range s.all() {
		one.dollars = dollars(one.text)
	}
	return s
}
