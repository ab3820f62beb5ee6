// Package deploy has the files that run the reference service in containers. Its tests decode them
// as strictly as the tools that read them, and start the program as they do.
package deploy
