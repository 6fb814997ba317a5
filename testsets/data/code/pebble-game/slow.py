n, k = map(int, input().split())
moves = list(map(int, input().split()))


def losing(heap):
    answers = [losing(heap - move) for move in moves if move <= heap]
    return not any(answers)


print("second" if losing(n) else "first")
