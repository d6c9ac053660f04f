package policy

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	celenv "cel.dev/cel-go/common/env"
)

// Limits of an expression. Costs are CEL's units, about one per operation and
// per 10 bytes read; a unit takes some 10 to 50 ns.
const (
	maxExpression  = 2 << 10 // bytes
	maxNesting     = 32      // of brackets, and of the syntax tree
	maxNodes       = 500
	maxLoops       = 2 // loops within one another
	maxRegexp      = 200
	maxRegexpSize  = 1_000
	assumedSize    = 256 // of a list or a text whose size only the facts tell
	maxStaticCost  = 10_000_000
	maxCost        = 200_000   // of one evaluation
	maxVerdictCost = 1_000_000 // of all evaluations of one verdict
	maxUncounted   = 2_000     // estimate up to which a program without loops is not metered
)

// Variables of expressions. Adding one is a change of the rule language.
const (
	varImage      = "image"
	varRepository = "repository"
	varTags       = "tags"
	varLabels     = "labels"
	varEvidence   = "evidence"
	varStage      = "stage"
	varContext    = "context"
	varNow        = "now"
	varFacts      = "facts"
	varSuppressed = "suppressed"
	varCounts     = "counts"

	varCertificate = "certificate"
)

func imageFields() []string {
	return []string{"digest", "mediaType", "artifactType", "size", "children", "pushedBy", "pushedAt"}
}

// certificateFields are what a condition may ask of the signer's certificate: whom it
// names, and Fulcio's extensions (package sigstore).
func certificateFields() []string {
	return []string{
		"identity", "issuer", "buildSignerURI", "buildSignerDigest", "runnerEnvironment", "sourceRepositoryURI", "sourceRepositoryDigest",
		"sourceRepositoryRef", "sourceRepositoryIdentifier", "sourceRepositoryOwnerURI", "sourceRepositoryOwnerIdentifier", "buildConfigURI",
		"buildConfigDigest", "buildTrigger", "runInvocationURI", "sourceRepositoryVisibilityAtSigning",
		"githubWorkflowTrigger", "githubWorkflowSHA", "githubWorkflowName", "githubWorkflowRepository", "githubWorkflowRef",
	}
}

// language is the environments an expression is compiled in. They are values
// that never change, built once because that takes milliseconds.
type language struct {
	condition, evidence *cel.Env
	err                 error
}

var languageOf = sync.OnceValue(func() (l language) { //nolint:gochecknoglobals // a value that never changes
	text, dyn := cel.StringType, cel.DynType
	l.condition, l.err = cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(&celenv.LibrarySubset{ExcludeFunctions: excluded()})),
		cel.CustomTypeAdapter(celAdapter{}),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserErrorRecoveryLimit(1),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegexpSize),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(), cel.ValidateComprehensionNestingLimit(maxLoops)),
		cel.Variable(varImage, cel.MapType(text, dyn)),
		cel.Variable(varRepository, text),
		cel.Variable(varTags, cel.ListType(text)),
		cel.Variable(varLabels, cel.MapType(text, text)),
		cel.Variable(varEvidence, cel.MapType(text, cel.IntType)),
		cel.Variable(varStage, text),
		cel.Variable(varContext, cel.MapType(text, dyn)),
		cel.Variable(varNow, cel.TimestampType),
	)
	if l.err != nil {
		return l
	}
	l.evidence, l.err = l.condition.Extend(
		cel.Variable(varFacts, cel.MapType(text, dyn)),
		cel.Variable(varSuppressed, cel.ListType(text)),
		cel.Variable(varCounts, cel.MapType(text, cel.IntType)),
		cel.Variable(varCertificate, cel.MapType(text, text)),
	)
	return l
})

// excluded is what the language lacks although CEL has it: floats, and time
// zones by name, which a peer would look up in files of its own machine.
func excluded() []*celenv.Function {
	functions := []*celenv.Function{celenv.NewFunction("double")}
	for name, overload := range map[string]string{
		"getFullYear": "timestamp_to_year_with_tz", "getMonth": "timestamp_to_month_with_tz", "getDayOfYear": "timestamp_to_day_of_year_with_tz",
		"getDate": "timestamp_to_day_of_month_1_based_with_tz", "getDayOfMonth": "timestamp_to_day_of_month_with_tz",
		"getDayOfWeek": "timestamp_to_day_of_week_with_tz", "getHours": "timestamp_to_hours_with_tz", "getMinutes": "timestamp_to_minutes_with_tz",
		"getSeconds": "timestamp_to_seconds_tz", "getMilliseconds": "timestamp_to_milliseconds_with_tz",
	} {
		functions = append(functions, celenv.NewFunction(name, &celenv.Overload{ID: overload}))
	}
	return functions
}

// sizes tells the cost estimate how large what it cannot see may be.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(checker.AstNode) *checker.SizeEstimate {
	return &checker.SizeEstimate{Min: 0, Max: assumedSize}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
