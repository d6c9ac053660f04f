package policy

import (
	"regexp"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// program is a compiled expression.
type program struct {
	run     cel.Program
	price   uint64 // what it costs at most; 0 where only a run tells
	loops   bool
	context []string // the context variables it reads; all, where it picks them at run time
	all     bool
	claims  []string // what it asks of the certificate: without one of them it is not satisfied

	// What else it reads that changes with time or that rules treat on its own.
	tags, now, evidence, vex bool
}

// steady tells whether a program says the same of a piece of evidence at every moment.
func (p *program) steady() bool {
	return p != nil && !p.now && !p.evidence && !p.vex && !p.all && len(p.context) == 0
}

// readsNow tells whether a program's answer depends on the moment it is asked.
func (j *judge) readsNow(p *program) bool { return p != nil && p.now }

// compileExpression compiles source to a program that yields a bool, or says
// why it is no rule.
func compileExpression(source string, overFacts bool, names map[string]string) (*program, error) {
	no := func(format string, args ...any) (*program, error) {
		return nil, provenance.Errorf(provenance.Invalid, format, args...)
	}
	if strings.TrimSpace(source) == "" {
		return no("the expression is empty")
	}
	if len(source) > maxExpression {
		return no("an expression of %d bytes: at most %d", len(source), maxExpression)
	}
	if nested(source) > maxNesting {
		return no("brackets nested deeper than %d", maxNesting)
	}
	l := languageOf()
	if l.err != nil {
		return nil, provenance.Wrap(provenance.Internal, l.err, "the rule language")
	}
	env := l.condition
	if overFacts {
		env = l.evidence
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return no("line %d, column %d: %s", first.Location.Line(), first.Location.Column()+1, clip(first.Message, 200))
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return no("the expression yields %s, want bool", cel.FormatCELType(checked.OutputType()))
	}
	p := &program{}
	if err := p.inspect(checked, names); err != nil {
		return nil, err
	}
	cost, err := env.EstimateCost(checked, sizes{})
	if err != nil || cost.Max > maxStaticCost {
		return no("the expression may cost too much: simplify its loops")
	}
	if err := notConstant(env, checked); err != nil {
		return nil, err
	}
	// Counting the cost doubles it. What has no loop and stays far below the
	// limit is charged its estimate instead.
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost)}
	if !p.loops && cost.Max <= maxUncounted {
		p.price, options = max(cost.Max, 1), options[:1]
	}
	p.run, err = env.Program(checked, options...)
	if err != nil {
		return no("%s", clip(err.Error(), 200))
	}
	return p, nil
}

// nested counts how deep brackets nest, before a parser recurses into them.
func nested(source string) int {
	depth, deepest := 0, 0
	for i := range len(source) {
		switch source[i] {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth--
		}
	}
	return deepest
}

// notConstant refuses an expression that is decided before anything is known:
// it runs it with every variable unknown.
func notConstant(env *cel.Env, checked *cel.Ast) error {
	run, err := env.Program(checked, cel.EvalOptions(cel.OptPartialEval), cel.CostLimit(maxCost))
	if err != nil {
		return provenance.Errorf(provenance.Invalid, "%s", clip(err.Error(), 200))
	}
	out, _, err := run.Eval(env.UnknownVars())
	if err != nil {
		return provenance.Errorf(provenance.Invalid, "the expression always fails: %s", clip(err.Error(), 200))
	}
	if !types.IsUnknown(out) {
		return provenance.Errorf(provenance.Invalid, "the expression is always %v: that is no rule", out.Value())
	}
	return nil
}

// inspect finds what the type checker lets through, and which variables the
// expression reads.
func (p *program) inspect(checked *cel.Ast, names map[string]string) error {
	var found error
	fail := func(format string, args ...any) {
		if found == nil {
			found = provenance.Errorf(provenance.Invalid, format, args...)
		}
	}
	held := map[int64]bool{} // the identifiers of selections, seen with their field
	field := func(of ast.Expr, name string, known bool) {
		if of.Kind() != ast.IdentKind {
			return
		}
		switch of.AsIdent() {
		case varContext:
			if !known {
				return
			}
			held[of.ID()] = true
			p.context = append(p.context, name)
			if _, bound := names[name]; !bound {
				fail("context.%s is not bound in spec.context", clip(name, 80))
			}
		case varImage:
			if known && !contains(imageFields(), name) {
				fail("image.%s is unknown: want one of %s", clip(name, 80), strings.Join(imageFields(), ", "))
			}
		case varCertificate:
			if !known {
				return
			}
			held[of.ID()] = true
			p.claims = append(p.claims, name)
			if !contains(certificateFields(), name) {
				fail("certificate.%s is unknown: want one of %s", clip(name, 80), strings.Join(certificateFields(), ", "))
			}
		}
	}
	root := checked.NativeRep().Expr()
	visit := ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
			if _, float := e.AsLiteral().(types.Double); float {
				fail("a number with a fraction: rules count in integers")
			}
		case ast.MapKind, ast.StructKind:
			fail("a map or message literal: their order is not defined")
		case ast.ComprehensionKind:
			p.loops = true
			loop := e.AsComprehension().IterVar()
			if _, taken := variables()[loop]; taken {
				fail("the loop variable %s hides the variable of that name", loop)
			}
		case ast.SelectKind:
			field(e.AsSelect().Operand(), e.AsSelect().FieldName(), true)
			if of := e.AsSelect().Operand(); e.AsSelect().IsTestOnly() && of.Kind() == ast.IdentKind && of.AsIdent() == varCertificate {
				fail("has(certificate.%s): what a condition asks of the certificate must be there in any case", clip(e.AsSelect().FieldName(), 80))
			}
		case ast.CallKind:
			p.inspectCall(e.AsCall(), field, fail)
		}
	})
	ast.PreOrderVisit(root, visit)
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind {
			switch e.AsIdent() {
			case varContext:
				p.all = p.all || !held[e.ID()]
			case varCertificate:
				if !held[e.ID()] {
					fail("certificate: name what it is to say, as in certificate.runnerEnvironment")
				}
			case varTags:
				p.tags = true
			case varNow:
				p.now = true
			case varEvidence:
				p.evidence = true
			case varSuppressed, varCounts:
				p.vex = true
			}
		}
	}))
	return found
}

func (p *program) inspectCall(call ast.CallExpr, field func(of ast.Expr, name string, known bool), fail func(format string, args ...any)) {
	literal := func(i int) (string, bool) {
		if i >= len(call.Args()) || call.Args()[i].Kind() != ast.LiteralKind {
			return "", false
		}
		s, ok := call.Args()[i].AsLiteral().(types.String)
		return string(s), ok
	}
	switch call.FunctionName() {
	case operators.Index:
		name, known := literal(1)
		field(call.Args()[0], name, known)
	case "matches":
		pattern, known := literal(len(call.Args()) - 1)
		if !known || len(pattern) > maxRegexp {
			fail("matches: want a literal pattern of at most %d bytes", maxRegexp)
		} else if _, err := regexp.Compile(pattern); err != nil {
			fail("matches: %s", clip(err.Error(), 200))
		}
	case "timestamp":
		if text, known := literal(0); known {
			if t, err := time.Parse(time.RFC3339, text); err == nil && (t.UTC().Year() < 1970 || t.UTC().Year() > 9999) {
				fail("timestamp %s: want a year from 1970 to 9999", clip(text, 80))
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func variables() map[string]bool {
	return map[string]bool{
		varImage: true, varRepository: true, varTags: true, varLabels: true, varEvidence: true, varStage: true, varContext: true, varNow: true,
		varFacts: true, varSuppressed: true, varCounts: true, varCertificate: true,
	}
}
