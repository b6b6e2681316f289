"""Actions: what changes the world. One file (or one package) per neighbour; each is a plug-in behind `ports.Action`.

`http_client` is the only module that speaks HTTP; `targets` says which neighbours exist. Nothing here decides anything.
"""
