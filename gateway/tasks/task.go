package tasks

import (
	"github.com/waybill-dev/waybill/gateway/queue"
)

// deadBase keeps the ids of tasks apart from those of the queue's dead letters.
const deadBase = int64(1) << 40

// The kinds of tasks.
const (
	Collect = "collect" // an artifact may be evidence
	Witness = "witness" // another organisation's push may be seen by ourselves
	Prove   = "prove"   // an image recorded by its digest alone may be proven
)

// What wakes a task before it is due, and brings it back when it was set aside.
const (
	ForSubject = queue.WantsSubject // a push of its subject
	ForKey     = queue.WantsKey     // new trust material
)

// Task is one thing to do about one manifest.
type Task = queue.Task
