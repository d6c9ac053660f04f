// Package arch checks that the house keeps its plan: imports point down, each
// dependency has one door, interfaces are small, and a few manners that no linter
// knows. A failure prints the path that broke a rule.
//
// The plan is docs/ARCHITECTURE.md; change both together. The documents are
// checked as well: their links lead somewhere, what they put in backticks exists,
// the walks pass through functions that are there, the map shows what packages
// import, and the glossary has the words of the packages' comments.
package arch
