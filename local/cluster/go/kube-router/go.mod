module tillstream.local/kube-router

go 1.26.0
