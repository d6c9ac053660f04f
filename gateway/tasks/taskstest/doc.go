// Package taskstest helps to test what carries tasks out.
package taskstest
