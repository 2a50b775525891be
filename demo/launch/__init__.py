"""The demo's launcher: four process groups, three organisations, real runs, one summary.

groups   the folders and processes of the hub and the three workers
stage    enrolment, models, datasets: everything up to the first run
runs     launch, approve, follow
check    the adapter in a process that imports nothing of ours
summary  what is printed and written at the end
"""
