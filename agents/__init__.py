"""Circle: a graph that researches language-model training and only says "it works" when it does."""
