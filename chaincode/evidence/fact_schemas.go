package evidence

// factSchemas are the schemas that facts of a built-in type keep when their maker,
// not this package, has written them (Statement). They are what the extracting
// functions produce.
func factSchemas() map[string]string {
	return map[string]string{
		TypeScan: `{"type":"object","additionalProperties":false,
			"required":["critical","high","medium","low","negligible","unknown","total","fixable","findings","truncated","scanner"],
			"properties":{` + counts("critical", "high", "medium", "low", "negligible", "unknown", "total", "fixable", "ignored") + `,
				"truncated":{"type":"boolean"},"endOfLife":{"type":"boolean"},"scanner":` + short + `,"scannerVersion":` + short + `,"databaseAt":` + short + `,
				"findings":{"type":"array","maxItems":200,"items":{"type":"object","additionalProperties":false,
					"required":["id","severity","fixable"],
					"properties":{"id":` + short + `,"fixable":{"type":"boolean"},"aliases":` + texts(`8`) + `,"packages":` + texts(`100`) + `,
						"severity":{"type":"string","enum":["critical","high","medium","low","negligible","unknown"]}}}}}}`,
		TypeSBOM: `{"type":"object","additionalProperties":false,
			"required":["format","specVersion","components","packages","licences","truncated"],
			"properties":{` + counts("components") + `,
				"format":{"type":"string","enum":["spdx","cyclonedx"]},"specVersion":` + short + `,"truncated":{"type":"boolean"},
				"packages":` + texts(`200`) + `,"licences":` + texts(`100`) + `}}`,
		TypeProvenance: `{"type":"object","additionalProperties":false,
			"required":["builder","buildType","sourceUri","sourceCommit","parameters"],
			"properties":{"builder":` + short + `,"buildType":` + short + `,"sourceUri":` + short + `,"sourceCommit":` + short + `,
				"parameters":{"type":"object"}}}`,
		TypeVEX: `{"type":"object","additionalProperties":false,
			"required":["statements","total","truncated","notAffected","affected","fixed","underInvestigation"],
			"properties":{` + counts("total", "notAffected", "affected", "fixed", "underInvestigation") + `,
				"truncated":{"type":"boolean"},
				"statements":{"type":"array","maxItems":200,"items":{"type":"object","additionalProperties":false,
					"required":["id","status","justification"],
					"properties":{"id":` + short + `,"justification":` + short + `,"aliases":` + texts(`8`) + `,"subcomponents":` + texts(`100`) + `,
						"status":{"type":"string","enum":["not_affected","affected","fixed","under_investigation"]}}}}}}`,
		TypeTest: `{"type":"object","additionalProperties":false,"required":["result","passed","warned","failed"],
			"properties":{` + counts("passed", "warned", "failed") + `,"url":` + short + `,
				"result":{"type":"string","enum":["PASSED","WARNED","FAILED"]}}}`,
		TypeVSA: `{"type":"object","additionalProperties":false,
			"required":["verifier","result","resourceUri","repository","policy","policyDigest","levels","slsaVersion"],
			"properties":{"verifier":` + short + `,"result":{"type":"string","enum":["PASSED","FAILED"]},"resourceUri":` + short + `,
				"repository":` + short + `,"policy":` + short + `,"policyDigest":` + short + `,"slsaVersion":` + short + `,"levels":` + texts(`32`) + `}}`,
		TypeSVR: `{"type":"object","additionalProperties":false,"required":["verifier","properties","policies"],
			"properties":{"verifier":` + short + `,"properties":` + texts(`32`) + `,"policies":` + texts(`16`) + `}}`,
		TypeReview: `{"type":"object","additionalProperties":false,"required":["approved","reviewers"],
			"properties":{"approved":{"type":"boolean"},"reviewers":` + texts(`32`) + `,
				"url":` + short + `,"commit":` + short + `,"comment":` + short + `}}`,
	}
}

const short = `{"type":"string","maxLength":256}`

func texts(most string) string {
	return `{"type":"array","maxItems":` + most + `,"items":` + short + `}`
}

func counts(names ...string) string {
	out := ""
	for i, name := range names {
		if i > 0 {
			out += ","
		}
		out += `"` + name + `":{"type":"integer","minimum":0}`
	}
	return out
}
