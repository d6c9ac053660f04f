// Package arch checks that the house keeps its plan: imports point inwards,
// siblings do not know each other, each dependency has one door, and a few
// manners that no linter knows. A failure prints the path that broke a rule.
//
// The plan is docs/ARCHITECTURE.md; change both together.
package arch
