"""What monitoring looks at: each module makes points of windows."""
