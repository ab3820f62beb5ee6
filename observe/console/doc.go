// Package console is a web page for the people who operate a service and develop it: what
// flows, the messages as they arrive, topics, dead letters, connections, the outbox, and the
// contract with a form for each event. It reads by package observe and acts by package operator.
//
// A [Recorder] is the hook that remembers what happened, in bounded memory. A [Console] is the
// http.Handler of the page. The page is plain HTML, CSS and JavaScript that is embedded in the
// program; it loads nothing from other sites.
package console
