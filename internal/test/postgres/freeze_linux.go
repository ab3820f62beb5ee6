package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// freeze stops a process and its children. The server first, so that it has no new ones.
func freeze(server int) (thaw func(), err error) {
	frozen := []int{server}
	thaw = sync.OnceFunc(func() {
		for _, pid := range slices.Backward(frozen) {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	})
	if err := syscall.Kill(server, syscall.SIGSTOP); err != nil {
		return thaw, err
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", server))
	if err == nil && len(lists) == 0 {
		err = errors.ErrUnsupported
	}
	for _, list := range lists {
		text, failed := os.ReadFile(list)
		err = errors.Join(err, failed)
		for child := range bytes.FieldsSeq(text) {
			pid, failed := strconv.Atoi(string(child))
			if failed == nil {
				failed = syscall.Kill(pid, syscall.SIGSTOP)
			}
			if failed == nil {
				frozen = append(frozen, pid)
			}
		}
	}
	return thaw, err
}
