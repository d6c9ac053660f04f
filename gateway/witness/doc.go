// Package witness confirms the pushes of others: it looks at another member's
// registry itself and records, as a witness, what it was served.
package witness
