// Package sqldb is the one door to SQLite and PostgreSQL: it opens files and
// servers with the settings that durability rests on, gives the errors of both
// their codes, and never repeats the URL of a server, which holds a password.
//
// Tables, statements and what a crash means for them belong to who uses it.
package sqldb

import (
	"fmt"
	"strings"
)

// IsURL tells whether a place is a PostgreSQL database (postgres://...) rather
// than the path of a SQLite file.
func IsURL(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// Dollars writes PostgreSQL's parameters for SQLite's ? and ?1.
func Dollars(query string) string {
	var out strings.Builder
	n := 0
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			out.WriteByte('$')
			if part == "" || part[0] < '0' || part[0] > '9' {
				n++
				fmt.Fprint(&out, n)
			}
		}
		out.WriteString(part)
	}
	return out.String()
}
