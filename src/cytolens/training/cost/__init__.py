"""The cost-sensitive regime: class weights and what a wrong decision costs."""
