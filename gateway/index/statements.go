package index

import "strings"

// The statements both databases run on the mirror of the keys and on meta.
const (
	firstHead  = `INSERT INTO meta (one, version, height, hash) VALUES (1, ?, 0, x'')`
	updateHead = `UPDATE meta SET height = ?, hash = ?`
	getOne     = `SELECT value FROM kv WHERE key = ?`
	putOne     = `INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	dropOne    = `DELETE FROM kv WHERE key = ?`
)

// getMany reads n keys.
func getMany(n int) string {
	return `SELECT key, value FROM kv WHERE key IN (?` + strings.Repeat(`, ?`, n-1) + `)`
}

// statement is one of Apply's; dollars is its text for PostgreSQL.
type statement struct{ text, dollars string }

// statements are Apply's: a block of a busy channel writes thousands of rows.
type statements struct {
	tx, record, segment, pulled, pull, referrer, promotion, proposal, release, debt, request, endRequest, dropOrganisations, organisation statement
}

func (s *statements) all() []*statement {
	return []*statement{
		&s.tx, &s.record, &s.segment, &s.pulled, &s.pull, &s.referrer, &s.promotion, &s.proposal, &s.release, &s.debt, &s.request, &s.endRequest, &s.dropOrganisations, &s.organisation,
	}
}

func applying() *statements {
	s := &statements{
		tx: statement{text: `INSERT INTO txs (block, tx, id, at, msp, name) VALUES (?, ?, ?, ?, ?, ?)`},
		record: statement{text: `INSERT INTO records (block, tx, seq, kind, host, repository, tag, digest, previous, stage, media_type, actor, occurred_at, detail, record)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		segment: statement{text: `INSERT INTO segments (block, tx, host, key) VALUES (?, ?, ?, ?)`},
		// Numbered by hand: an index that is rebuilt must come to the same, and a server's counter leaves gaps.
		pulled: statement{text: `INSERT INTO pulled (id, block, tx, last, previous) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM pulled), ?, ?, ?,
			(SELECT latest FROM pulls WHERE digest = ? AND host = ? AND repository = ?))`},
		// The row of pulled that was just added is the image's latest.
		pull: statement{text: `INSERT INTO pulls (digest, host, repository, count, last, latest) VALUES (?, ?, ?, ?, ?, (SELECT max(id) FROM pulled))
			ON CONFLICT (digest, host, repository) DO UPDATE SET count = pulls.count + excluded.count,
			last = CASE WHEN excluded.last > pulls.last THEN excluded.last ELSE pulls.last END, latest = excluded.latest`},
		// The position stays that of the first request, so that pages do not shift.
		promotion: statement{text: `INSERT INTO promotions (key, block, tx, seq, stage, host, repository, digest, status, at, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET status = excluded.status, at = excluded.at, record = excluded.record`},
		referrer: statement{text: `INSERT INTO referrers (subject, host, repository, digest) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`},
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
