package queue

const replicaArg = "-replica"

func replicaMain([]string) int { return 1 }
