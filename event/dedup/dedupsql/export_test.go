package dedupsql

// PurgeStatement is the statement of a purge, with the limit as its parameter.
func (w *Window) PurgeStatement() string { return w.purge }
