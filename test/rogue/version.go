package rogue

// Later is the contract's next version as a release would be: it has a transaction more, clock:Version, and everything
// else is as it was.
func Later() Program {
	return Program{
		Name: "the next version", File: "chaincode/contract/access.go",
		Edits: [][2]string{
			{"\t\t\"clock:Get\":  read(0),\n", "\t\t\"clock:Get\":  read(0),\n\t\t\"clock:Version\": read(0),\n"},
			{"// accessTable is the whole law", "// Version is what this version adds.\nfunc (ClockContract) Version(*Tx) (string, error) { return answer(2, nil) }\n\n// accessTable is the whole law"},
		},
	}
}

// Other computes something else for an act that there was before: whoever runs it under the version of the others
// publishes variables that are a nanosecond younger.
func Other() Program {
	return Program{
		Name: "another result for the same act", File: "chaincode/contract/context.go",
		Edits: [][2]string{{"c.Values[name] = c.Values[name].Next(v, tx.now)", "c.Values[name] = c.Values[name].Next(v, tx.now.Add(1))"}},
	}
}
