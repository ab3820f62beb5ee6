package client

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// passwordFile is the file of the setting connection.password_file. Safe for concurrent
// use.
type passwordFile struct {
	log    logsafe.Logger
	logins *logins

	mu    sync.Mutex
	path  string
	seen  stamp // the file as it was last looked at
	fresh bool  // it has changed since it was read
	told  bool  // that it cannot be used
}

func newPasswordFile(path string, l *logins, log logsafe.Logger) *passwordFile {
	return &passwordFile{log: log, logins: l, path: path, seen: stampOf(path)}
}

// at reports whether this is the file that is looked at.
func (f *passwordFile) at(path string) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path == path
}

// point makes another file the one to look at, whose content is in use.
func (f *passwordFile) point(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.path != path {
		f.path, f.seen, f.fresh, f.told = path, stampOf(path), false, false
	}
}

// look takes a new password into use and reports whether there is one. A file that has
// changed is read when it is the same at the next look: until then it may be incomplete.
func (f *passwordFile) look() (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := stampOf(f.path); now != f.seen {
		f.seen, f.fresh = now, true
		return false
	}
	return f.fresh && f.read()
}

// reread takes the file as it is, before there is a connection to lose.
func (f *passwordFile) reread() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := stampOf(f.path); now != f.seen {
		f.seen = now
		f.read()
	}
}

func (f *passwordFile) read() (changed bool) {
	f.fresh = false
	password, err := link.ReadPassword(f.path)
	if err != nil {
		if !f.told {
			f.told = true
			f.log.Error("mqtt: connection.password_file is not used, the old password stays in use", logsafe.KeyError, logsafe.Error(err))
		}
		return false
	}
	f.told = false
	changed = f.logins.set(login{f.logins.current().username, string(password)})
	if changed {
		f.log.Info("mqtt: a new password is used from now on")
	}
	return changed
}
